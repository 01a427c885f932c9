"""No quantization: float32 as the tower gave it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NoQuantization:
    """Full float32 vectors: ``4 * dim`` bytes each, exact scores."""
