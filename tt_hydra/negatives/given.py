"""Given negatives: those that the data names for each query, besides the positives of the other queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Ragged
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.frequency import log_share

MISSING = (
    "negatives=given takes the negatives that the data names for each query, and this data names none. Choose negatives=in_batch or "
    "negatives=uniform, or give the training pairs a column of negatives."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Hard negatives from the data (judged, shown but not clicked, mined elsewhere), shared by the batch's queries.

    Attributes:
        per_query: at most so many of each query's negatives are taken, drawn anew for each batch; bounds the work of a step.
    """

    per_query: int = 4
    requires_given: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_at_least_one(per_query=self.per_query)

    def fit(self, counts: FloatArray) -> FittedGiven:
        """The sampler for ``counts (num_items,)``."""
        return FittedGiven(self.per_query, log_share(counts))


@dataclass(frozen=True, slots=True)
class FittedGiven:
    """Draws from the negatives that it is handed.

    Attributes:
        log_probability: ``(num_items,)`` log share of each item among the training positives.
    """

    per_query: int
    log_probability: FloatArray
    in_batch: ClassVar[bool] = True

    def draw(self, positives: IntArray, given: Ragged | None, generator: np.random.Generator) -> IntArray:
        """Distinct rows, in ascending order.

        Raises:
            ConfigError: the data names no negatives.
        """
        if given is None:
            raise ConfigError(MISSING)
        lengths = np.diff(given.offsets)
        query = np.repeat(np.arange(len(given)), lengths)
        order = np.lexsort((generator.random(len(given.values)), query))
        rank = np.arange(len(order)) - np.repeat(given.offsets[:-1], lengths)
        return np.unique(given.values[order[rank < self.per_query]]).astype(np.int64)

    def log_q(self, rows: IntArray) -> FloatArray:
        """Log share of the rows among the training positives: how often the data names an item as a negative is not known."""
        return self.log_probability[rows]
