"""Exhaustive search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Flat:
    """Compares the query with every item: exact without quantization, and the quickest choice up to some ten thousand items."""
