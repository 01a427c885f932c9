"""A queue of negatives: the positives of this batch, and item vectors kept from the steps before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.streaming import BatchFrequency, Frequency


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """Cross-batch memory (Wang et al. 2020): more negatives than the batch holds, without encoding them again.

    The kept vectors take no gradient and are as old as the queue is long, in steps.

    Attributes:
        memory: item vectors that are kept; the oldest leave first.
        frequency: of the positives. exact: from the counts of the training part; streaming: estimated from the batches as they pass.
    """

    memory: int = 4096
    frequency: Frequency = "exact"
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(memory=self.memory)

    def fit(self, training: TrainingView) -> FittedQueue:
        """The sampler for a training part."""
        return FittedQueue(self.memory, BatchFrequency.of(training, self.frequency))


@dataclass(frozen=True, slots=True)
class FittedQueue:
    """Draws nothing; whoever runs the steps keeps the vectors.

    Attributes:
        frequency: how likely an item is to be a positive.
    """

    memory: int
    frequency: BatchFrequency
    in_batch: ClassVar[bool] = True

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """No rows."""
        return Drawn.shared(np.empty(0, np.int64), Origin.QUEUE)

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch."""
        self.frequency.observe(rows, step)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of ``batch`` positives: those of the step and those whose vectors the queue holds by then."""
        return self.frequency.log_presence(rows, batch)
