"""Uniform negatives: every item with the same probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.drawable import Drawable


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """Items drawn anew for each batch and shared by its queries.

    Attributes:
        num_negatives: items drawn for a batch, all distinct; where there are fewer, all of them are.
        never_taken: whether items without a training event are drawn too, as negatives that are never a positive.
    """

    num_negatives: int = 1024
    never_taken: bool = False
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(num_negatives=self.num_negatives)

    def fit(self, training: TrainingView) -> FittedUniform:
        """The sampler for a training part."""
        drawable = Drawable.of(training, self.never_taken)
        return FittedUniform(drawable, min(self.num_negatives, len(drawable)))


@dataclass(frozen=True, slots=True)
class FittedUniform:
    """Draws ``num_negatives`` of the rows that may be drawn."""

    drawable: Drawable
    num_negatives: int
    in_batch: ClassVar[bool] = False
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Distinct rows; a positive of the batch may be among them."""
        return Drawn.shared(self.drawable.uniformly(self.num_negatives, generator), Origin.UNIFORM)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log of the part that is drawn, the same for every row that may be."""
        return self.drawable.log_presence(rows, self.num_negatives)
