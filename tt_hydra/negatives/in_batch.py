"""In-batch negatives: the positives of the other queries, at no extra cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Ragged
from tt_hydra.negatives.frequency import log_share


@dataclass(frozen=True, kw_only=True, slots=True)
class InBatch:
    """Nothing is drawn; a candidate occurs as often as it is a positive in the training part, which is what ``log_q`` says."""

    requires_given: ClassVar[bool] = False

    def fit(self, counts: FloatArray) -> FittedInBatch:
        """The sampler for ``counts (num_items,)``."""
        return FittedInBatch(log_share(counts))


@dataclass(frozen=True, slots=True)
class FittedInBatch:
    """Draws nothing.

    Attributes:
        log_probability: ``(num_items,)`` log share of each item among the training positives.
    """

    log_probability: FloatArray
    in_batch: ClassVar[bool] = True

    def draw(self, positives: IntArray, given: Ragged | None, generator: np.random.Generator) -> IntArray:
        """No rows."""
        return np.empty(0, np.int64)

    def log_q(self, rows: IntArray) -> FloatArray:
        """Log share of the rows among the training positives."""
        return self.log_probability[rows]
