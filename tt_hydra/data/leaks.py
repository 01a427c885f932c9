"""Looks for leaks in a prepared folder: reads the stored arrays again and compares them with what they must be."""

from __future__ import annotations

from pathlib import Path


def check_leaks(folder: Path) -> None:
    """Raises DataError if anything of the future is in reach of an example."""
