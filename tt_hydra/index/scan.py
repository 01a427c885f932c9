"""Exact search over raw vectors, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Metric

Found = tuple[FloatArray, IntArray]
QUERIES, ROWS = 256, 16_384
"""Compared at a time: 16 MB of scores."""
SPARSE = 4
"""Where fewer than one row in so many is allowed, those are gathered instead of comparing with all."""


def scales_of(vectors: npt.NDArray[np.generic], metric: Metric) -> FloatArray | None:
    """What turns inner products with raw ``vectors (rows, dim)`` into the metric, for prepared queries: ``(rows,)``; None for dot."""
    if metric == "dot":
        return None
    scales = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS):
        norms = np.linalg.norm(np.asarray(vectors[start : start + ROWS], np.float64), axis=1)
        scales[start : start + ROWS] = 1 / np.where(norms > 0, norms, 1)
    return scales


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the rows of a catalogue.

    Attributes:
        vectors: ``(rows, dim)``, raw, possibly memory-mapped.
        scales: of `scales_of`.
        first: number of its first row.
    """

    vectors: npt.NDArray[np.generic]
    scales: FloatArray | None
    first: int = 0

    def best(self, queries: FloatArray, k: int, allowed: BoolArray | None) -> Found:
        """The ``k`` best of its rows for each query by (score descending, row ascending), with -inf and -1 where fewer are allowed.

        Args:
            queries: ``(queries, dim)``, prepared.
            k: how many.
            allowed: ``(rows,)`` bool, None for all.
        """
        found = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for start in range(0, len(queries), QUERIES):
            asked = slice(start, start + QUERIES)
            for rows, kept in self._stretches(allowed):
                best = found[0][asked], found[1][asked]
                found[0][asked], found[1][asked] = merged(best, self._compared(queries[asked], rows, kept, k), k)
        return found

    def scores(self, queries: FloatArray, rows: IntArray) -> FloatArray:
        """The metric between each prepared query and its own rows, ``(queries, candidates)``; -inf where a row is negative."""
        places = np.maximum(rows - self.first, 0)
        scores: FloatArray = np.einsum("qd,qcd->qc", queries, np.asarray(self.vectors[places], np.float32))
        if self.scales is not None:
            scores *= self.scales[places]
        return np.where(rows < 0, np.float32(-np.inf), scores)

    def _stretches(self, allowed: BoolArray | None) -> Iterator[tuple[slice | IntArray, BoolArray | None]]:
        """Rows to compare with, and which of them are kept; None for all."""
        if allowed is not None and np.count_nonzero(allowed) * SPARSE < len(allowed):
            few = np.flatnonzero(allowed)
            yield from ((few[start : start + ROWS], None) for start in range(0, len(few), ROWS))
            return
        for start in range(0, len(self.vectors), ROWS):
            rows = slice(start, start + ROWS)
            yield rows, None if allowed is None else allowed[rows]

    def _compared(self, queries: FloatArray, rows: slice | IntArray, kept: BoolArray | None, k: int) -> Found:
        scores: FloatArray = queries @ np.asarray(self.vectors[rows], np.float32).T
        if self.scales is not None:
            scores *= self.scales[rows]
        if kept is not None:
            scores[:, ~kept] = -np.inf
        places = _leading(scores, k)
        best = np.take_along_axis(scores, places, axis=1)
        numbers = places + rows.start if isinstance(rows, slice) else rows[places]
        return best, np.where(np.isneginf(best), -1, numbers + self.first)


def merged(first: Found, second: Found, k: int) -> Found:
    """The ``k`` best of two lists for each query, ties by row."""
    scores = np.concatenate([first[0], second[0]], axis=1)
    rows = np.concatenate([first[1], second[1]], axis=1)
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _leading(scores: FloatArray, k: int) -> IntArray:
    """Places of the ``k`` best of each row of ``scores`` in any order; the first ones where some tie for the last place."""
    width = scores.shape[1]
    if k >= width:
        return np.broadcast_to(np.arange(width), scores.shape)
    places = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    last = np.take_along_axis(scores, places, axis=1).min(axis=1, keepdims=True)
    tied = np.flatnonzero(((scores == last).sum(axis=1) > 1) & (last[:, 0] > -np.inf))
    if len(tied):
        places[tied] = np.argsort(-scores[tied], axis=1, kind="stable")[:, :k]
    return places
