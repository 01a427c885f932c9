"""Mixed negatives: the positives of the other queries, and items drawn uniformly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.drawable import Drawable
from tt_hydra.negatives.streaming import BatchFrequency, Frequency


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixed:
    """Mixed negative sampling (Yang et al. 2020): in-batch negatives hardly show the tail of the catalogue, uniform ones do.

    Attributes:
        num_negatives: items drawn uniformly for a batch, all distinct, besides its positives; where there are fewer, all of them are.
        never_taken: whether items without a training event are drawn too, as negatives that are never a positive.
        frequency: of the batch's positives. exact: from the counts of the training part; streaming: estimated from the batches as
            they pass.
    """

    num_negatives: int = 1024
    never_taken: bool = False
    frequency: Frequency = "exact"
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(num_negatives=self.num_negatives)

    def fit(self, training: TrainingView) -> FittedMixed:
        """The sampler for a training part."""
        drawable = Drawable.of(training, self.never_taken)
        return FittedMixed(drawable, min(self.num_negatives, len(drawable)), BatchFrequency.of(training, self.frequency))


@dataclass(frozen=True, slots=True)
class FittedMixed:
    """Draws ``num_negatives`` of the rows that may be drawn.

    Attributes:
        frequency: how likely an item is to be a positive.
    """

    drawable: Drawable
    num_negatives: int
    frequency: BatchFrequency
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Distinct rows; a positive of the batch may be among them."""
        return Drawn.shared(self.drawable.uniformly(self.num_negatives, generator), Origin.UNIFORM)

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch."""
        self.frequency.observe(rows, step)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is a positive of the batch (a), or drawn (b): ``1 - (1 - a) (1 - b) = a + (1 - a) b``."""
        positive = self.frequency.log_presence(rows, batch).astype(np.float64)
        neither_way = np.log1p(-np.minimum(np.exp(positive), 1 - 1e-12))
        either = np.logaddexp(positive, neither_way + self.drawable.log_presence(rows, self.num_negatives))
        return np.minimum(either, 0.0).astype(np.float32)
