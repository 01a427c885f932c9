"""Which items are drawn as negatives: those that are a positive somewhere, or all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, TrainingView


@dataclass(frozen=True, slots=True)
class Drawable:
    """The part of a catalogue that is drawn from.

    Items without a training event share what stands for unknown values, their id's vector above all. Drawn, they would be negatives that
    are never a positive: training pushes that vector away from every query, and new items with it.

    Attributes:
        rows: ascending.
        among: ``(num_items,)`` whether a row is one of them.
    """

    rows: IntArray
    among: BoolArray

    @classmethod
    def of(cls, training: TrainingView, never_taken: bool) -> Drawable:
        """The items with a training event; all of them under ``never_taken``, and where none has one."""
        taken = training.counts > 0
        among = taken if taken.any() and not never_taken else np.ones(training.num_items, np.bool_)
        return cls(np.flatnonzero(among), among)

    def __len__(self) -> int:
        return len(self.rows)

    def uniformly(self, size: int, generator: np.random.Generator) -> IntArray:
        """Distinct rows, each set of them equally likely."""
        return self.rows[generator.choice(len(self.rows), size, replace=False, shuffle=False)]

    def log_presence(self, rows: IntArray, size: int) -> FloatArray:
        """Log probability of each row to be among ``size`` that are drawn uniformly; -inf for one that cannot be."""
        return np.where(self.among[rows], np.float32(math.log(size / len(self.rows))), np.float32(-np.inf))
