"""In-batch negatives: the positives of the other queries, at no extra cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.negatives.frequency import log_presence, log_share


@dataclass(frozen=True, kw_only=True, slots=True)
class InBatch:
    """Nothing is drawn; a candidate occurs as often as it is a positive in the training part."""

    requires_given: ClassVar[bool] = False

    def fit(self, training: TrainingView) -> FittedInBatch:
        """The sampler for a training part."""
        return FittedInBatch(log_share(training.counts))


@dataclass(frozen=True, slots=True)
class FittedInBatch:
    """Draws nothing.

    Attributes:
        log_probability: ``(num_items,)`` log share of each item among the training positives.
    """

    log_probability: FloatArray
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """No rows."""
        return Drawn.shared(np.empty(0, np.int64), Origin.IN_BATCH)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of the batch's positives: it is held once, however often it is one."""
        return log_presence(self.log_probability[rows], batch)
