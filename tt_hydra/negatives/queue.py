"""A queue of negatives: the positives of this batch, and item vectors kept from the steps before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tt_hydra.contracts import TrainingView
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.in_batch import FittedInBatch
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

    def fit(self, training: TrainingView) -> FittedInBatch:
        """The sampler for a training part: that of in-batch negatives, which asks whoever runs the steps to keep vectors."""
        return FittedInBatch(BatchFrequency.of(training, self.frequency), self.memory)
