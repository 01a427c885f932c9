"""Searching an index without the items that each query had before."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Ragged, SearchResult

CHUNK = 256


class Searcher(Protocol):
    """Whatever finds items, an index first of all."""

    def search(self, queries: FloatArray, k: int) -> SearchResult:
        """The k best rows of each query ``(queries, dim)``."""


def search_excluding(index: Searcher, queries: FloatArray, k: int, exclude: Ragged | None) -> SearchResult:
    """The k best rows of each query that are not in its list of ``exclude``.

    The index is asked for as many more as a query's list holds, as a service would that filters what it gets back (queries with lists
    of about one length go together, and the longest of them decides); the search parameters stay those of the index.

    Args:
        index: where to search.
        queries: ``(queries, dim)``.
        k: how many.
        exclude: by query the catalogue rows that it must not get; None for none.
    """
    scores, found_rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    order = np.arange(len(queries)) if exclude is None else np.argsort(np.diff(exclude.offsets), kind="stable")
    for start in range(0, len(queries), CHUNK):
        rows = order[start : start + CHUNK]
        part = None if exclude is None else exclude.take(rows)
        more = 0 if part is None else int(np.diff(part.offsets).max(initial=0))
        found = index.search(np.ascontiguousarray(queries[rows]), k + more)
        kept = found if part is None else without(found, part, k)
        scores[rows], found_rows[rows] = kept.scores, kept.rows
    return SearchResult(scores, found_rows)


def without(result: SearchResult, exclude: Ragged, k: int) -> SearchResult:
    """The first k of each query's rows that are not in its list, in the same order, padded where fewer are left."""
    unwanted = _member(result.rows, exclude) | (result.rows < 0)
    order = np.argsort(unwanted, axis=1, kind="stable")[:, :k]
    unwanted = np.take_along_axis(unwanted, order, axis=1)
    rows = np.where(unwanted, -1, np.take_along_axis(result.rows, order, axis=1))
    scores = np.where(unwanted, np.float32(-np.inf), np.take_along_axis(result.scores, order, axis=1))
    return SearchResult(scores.astype(np.float32), rows)


def _member(rows: IntArray, lists: Ragged) -> BoolArray:
    """Where a query's row is in its list, ``rows`` being ``(queries, k)``."""
    stride = int(max(rows.max(initial=0), lists.values.max(initial=0))) + 1
    owner = lists.owners()
    listed = owner * stride + lists.values.astype(np.int64)
    return np.isin(np.arange(len(rows))[:, None] * stride + rows, listed)
