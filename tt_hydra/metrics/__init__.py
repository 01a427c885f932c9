"""Figures: ranking against labels, approximate against exact search, latency, and how sure they are."""
