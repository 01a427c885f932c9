"""The search for the best index under a budget."""
