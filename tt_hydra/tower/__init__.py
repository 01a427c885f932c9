"""Towers: the features of one side become vectors of the shared dimension."""
