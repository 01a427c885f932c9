"""In-batch negatives: the positives of the other queries, at no extra cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.negatives.streaming import BatchFrequency, Frequency


@dataclass(frozen=True, kw_only=True, slots=True)
class InBatch:
    """Nothing is drawn; a candidate occurs as often as it is a positive in the training part.

    Attributes:
        frequency: exact: from the counts of the training part; streaming: estimated from the batches as they pass (Yi et al. 2019), for
            data whose items come and go.
    """

    frequency: Frequency = "exact"
    requires_given: ClassVar[bool] = False

    def fit(self, training: TrainingView) -> FittedInBatch:
        """The sampler for a training part."""
        return FittedInBatch(BatchFrequency.of(training, self.frequency))


@dataclass(frozen=True, slots=True)
class FittedInBatch:
    """Draws nothing.

    Attributes:
        frequency: how likely an item is to be a positive.
        memory: item vectors of earlier steps that serve besides; whoever runs the steps keeps them.
    """

    frequency: BatchFrequency
    memory: int = 0
    in_batch: ClassVar[bool] = True

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """No rows."""
        return Drawn.shared(np.empty(0, np.int64), Origin.IN_BATCH)

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch."""
        self.frequency.observe(rows, step)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of ``batch`` positives: those of the step and those whose vectors are kept by then."""
        return self.frequency.log_presence(rows, batch)
