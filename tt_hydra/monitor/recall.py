"""How much of the exact answer the service gives, on queries that people ask."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from tt_hydra.contracts import BoolArray, Estimate, FloatArray, IntArray, SearchResult, Snapshot
from tt_hydra.metrics.ann import TOLERANCE
from tt_hydra.monitor.intervals import wilson

DEPTH = 10
"""Results of a query that are compared at most."""
FEWEST = 100
"""Queries before which a low recall is no alarm."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One query: how many of the exact results were found, out of how many there are."""

    hits: int
    wanted: int

    @property
    def recall(self) -> float:
        """Share of the exact results; 1 where nothing could be found."""
        return self.hits / self.wanted if self.wanted else 1.0


def compare(query: FloatArray, found: SearchResult, snapshot: Snapshot, allowed: BoolArray | None) -> Compared:
    """Holds the first results of a query against exact search of the same catalogue.

    A row counts once, if its exact score reaches the last exact one: items of equal score stand for each other.

    Args:
        query: ``(dim,)``.
        found: of this query alone, ``(1, k)``.
        snapshot: what was searched.
        allowed: rows that were allowed, None for all.
    """
    depth = min(DEPTH, found.rows.shape[1])
    exact = snapshot.exact(query[None], depth, allowed)
    rows, scores = exact.rows[0], exact.scores[0]
    known = rows >= 0
    wanted = int(known.sum())
    if not wanted:
        return Compared(0, 0)
    given = np.unique(found.rows[0, :depth])
    given = given[given >= 0]
    missing = np.setdiff1d(given, rows[known])
    hits = len(given) - len(missing)
    if len(missing):
        last = float(scores[known][-1] - TOLERANCE * np.abs(scores[known]).max())
        hits += int((_exact_scores(query, missing, snapshot, allowed) >= last).sum())
    return Compared(min(hits, wanted), wanted)


def _exact_scores(query: FloatArray, rows: IntArray, snapshot: Snapshot, allowed: BoolArray | None) -> FloatArray:
    """Exact scores of some rows; none for rows that are dead or not allowed."""
    mask = np.zeros(snapshot.size, np.bool_)
    mask[rows] = True
    if allowed is not None:
        mask[: len(allowed)] &= allowed
    found = snapshot.exact(query[None], len(rows), mask)
    scores: FloatArray = found.scores[0][found.rows[0] >= 0]
    return scores


class RecallGauge:
    """Recall of the queries that were compared last, with Wilson's interval.

    The results of one query stand or fall together, so the interval counts each query once, with the share that was found of its
    results: it is never too narrow.
    """

    def __init__(self, window: int) -> None:
        self._compared: deque[Compared] = deque(maxlen=window)

    def add(self, compared: Compared) -> None:
        """Takes in one query; one to which there is no answer says nothing."""
        if compared.wanted:
            self._compared.append(compared)

    @property
    def queries(self) -> int:
        """Queries in the window."""
        return len(self._compared)

    @property
    def results(self) -> int:
        """Results that were compared."""
        return sum(each.wanted for each in self._compared)

    @property
    def estimate(self) -> Estimate | None:
        """Mean recall of the window; None while it is empty."""
        if not self._compared:
            return None
        return wilson(sum(each.recall for each in self._compared), len(self._compared))

    @property
    def enough(self) -> bool:
        """Whether there are queries enough to judge by."""
        return self.queries >= FEWEST

    def below(self, target: float) -> bool:
        """Whether one cannot be sure that recall reaches the target, of queries that are enough to say so."""
        found = self.estimate
        return found is not None and self.enough and found.low < target
