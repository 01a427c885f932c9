"""Uniform negatives: every item of the catalogue with the same probability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
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

    def fit(self, training: TrainingView) -> FittedUniform:
        """The sampler for a training part."""
        return FittedUniform(training.num_items, min(self.num_negatives, training.num_items))


@dataclass(frozen=True, slots=True)
class FittedUniform:
    """Draws ``num_negatives`` of ``num_items`` rows."""

    num_items: int
    num_negatives: int
    in_batch: ClassVar[bool] = False
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Distinct rows; a positive of the batch may be among them."""
        return Drawn.shared(generator.choice(self.num_items, self.num_negatives, replace=False, shuffle=False), Origin.UNIFORM)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log of the part of the catalogue that is drawn, the same for every row."""
        return np.full(len(rows), math.log(self.num_negatives / self.num_items), np.float32)
