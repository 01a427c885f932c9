"""Poolings: a masked sequence of vectors becomes one vector."""
