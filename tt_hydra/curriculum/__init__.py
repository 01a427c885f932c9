"""Curricula: how hard the negatives of a step shall be, as a function of training progress or of what the steps show."""

from __future__ import annotations
