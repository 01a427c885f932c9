"""Uniform negatives: every item of the catalogue with the same probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Ragged
from tt_hydra.negatives.check import check_at_least_one


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """Items drawn anew for each batch and shared by its queries.

    Attributes:
        num_negatives: items drawn for a batch, all distinct; a smaller catalogue is taken whole.
    """

    num_negatives: int = 1024
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(num_negatives=self.num_negatives)

    def fit(self, counts: FloatArray) -> FittedUniform:
        """The sampler for a catalogue of ``len(counts)`` items."""
        return FittedUniform(len(counts), min(self.num_negatives, len(counts)))


@dataclass(frozen=True, slots=True)
class FittedUniform:
    """Draws ``num_negatives`` of ``num_items`` rows."""

    num_items: int
    num_negatives: int
    in_batch: ClassVar[bool] = False

    def draw(self, positives: IntArray, given: Ragged | None, generator: np.random.Generator) -> IntArray:
        """Distinct rows; a positive of the batch may be among them."""
        return generator.choice(self.num_items, self.num_negatives, replace=False, shuffle=False)

    def log_q(self, rows: IntArray) -> FloatArray:
        """Log of one draw's probability, the same for every row."""
        return np.full(len(rows), -math.log(self.num_items), np.float32)
