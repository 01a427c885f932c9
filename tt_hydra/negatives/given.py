"""Given negatives: those that the data names for each query, besides the positives of the other queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Chances, Drawn, DrawRequest, FloatArray, IntArray, Origin, Ragged, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.choice import without_replacement
from tt_hydra.negatives.frequency import log_presence, log_share

MISSING = (
    "negatives=given takes the negatives that the data names for each query, and this data names none. Choose negatives=in_batch or "
    "negatives=uniform, or give the training pairs a column of negatives."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Hard negatives from the data (judged, shown but not clicked, mined elsewhere), each drawn for the query that names it.

    Attributes:
        per_query: at most so many of each query's negatives are taken, drawn anew for each batch; bounds the work of a step.
    """

    per_query: int = 4
    requires_given: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_at_least_one(per_query=self.per_query)

    def fit(self, training: TrainingView) -> FittedGiven:
        """The sampler for a training part."""
        return FittedGiven(self.per_query, log_share(training.counts))


@dataclass(frozen=True, slots=True)
class FittedGiven:
    """Draws from the negatives that it is handed.

    Attributes:
        log_probability: ``(num_items,)`` log share of each item among the training positives.
    """

    per_query: int
    log_probability: FloatArray
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Some of each query's negatives, which it owns; one that is named twice counts once.

        Raises:
            ConfigError: the data names no negatives.
        """
        if request.given is None:
            raise ConfigError(MISSING)
        owner, place = _distinct(request.given)
        named = np.bincount(owner, minlength=len(request.given))
        chances = Chances.of(request.given.values[place].astype(np.int64), np.minimum(1.0, self.per_query / named[owner]))
        owner, number = without_replacement(named, np.full(len(named), self.per_query), generator)
        place = place[(np.cumsum(named) - named)[owner] + number]
        nan = np.full(len(place), np.nan, np.float32)
        return Drawn(
            rows=request.given.values[place].astype(np.int64),
            origin=np.full(len(place), int(Origin.GIVEN)),
            owner=owner,
            teacher=nan if request.given_teacher is None else request.given_teacher[place],
            chances=chances,
        )

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of the batch's positives."""
        return log_presence(self.log_probability[rows], batch)


def _distinct(given: Ragged) -> tuple[IntArray, IntArray]:
    """The query and the place in ``given.values`` of each distinct negative of each query, in ascending order of the query."""
    query = given.owners()
    width = given.values.max(initial=0) + 1
    _, place = np.unique(query * width + given.values, return_index=True)
    return query[place], place
