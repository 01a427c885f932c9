"""The items that the same queries took, as a feature of an item: what stands beside it in the training part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from tt_hydra.contracts import IntArray, Ragged

NEIGHBORS = "neighbors"
"""Name of the feature, and of its column in the items table."""
PRODUCTS = 4_000_000
"""Pairs of items that are compared at once, about: bounds the memory."""


def neighbors(queries: IntArray, items: IntArray, num_items: int, most: int) -> Ragged:
    """The nearest other items of each item, nearest first; those alone that any query took with it.

    Two items are as near as their columns of the matrix of queries and items when each entry is divided by the square roots of how many
    items its query took and of how many queries took its item: the similarity whose graph LightGCN propagates over (He et al. 2020,
    equation 3). Of two that are as near the earlier row comes first.

    Args:
        queries: ``(pairs,)`` query rows.
        items: ``(pairs,)`` item rows; each pair of query and item stands once.
        num_items: of the catalogue.
        most: items that are kept for each.
    """
    counts, takers = np.bincount(queries, minlength=1), np.bincount(items, minlength=num_items)
    entries = 1.0 / np.sqrt(counts[queries] * takers[items])
    taken = csr_array((entries, (queries, items)), shape=(len(counts), num_items))
    takers_of = taken.T.tocsr()
    work = np.bincount(items, counts[queries], minlength=num_items)
    found = [_nearest(takers_of[first:stop], taken, first, most) for first, stop in _blocks(work)]
    lengths = np.bincount(np.concatenate([rows for rows, _ in found]), minlength=num_items)
    values = np.concatenate([columns for _, columns in found])
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def neighbors_column(near: Ragged, ids: pl.Series) -> pl.Series:
    """The neighbours' ids, a list for each item."""
    lists = pl.DataFrame({"row": near.owners(), "id": ids.gather(near.values)})
    found = lists.group_by("row", maintain_order=True).agg("id")
    every = pl.DataFrame({"row": np.arange(len(ids))}).join(found, on="row", how="left", maintain_order="left")
    return every["id"].fill_null([]).rename(NEIGHBORS)


def _blocks(work: IntArray) -> Iterator[tuple[int, int]]:
    """Ranges of items whose comparisons fit together."""
    ends = np.cumsum(work)
    first = 0
    while first < len(work):
        stop = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + PRODUCTS, side="right")))
        yield first, stop
        first = stop


def _nearest(some: csr_array, taken: csr_array, first: int, most: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the nearest pairs of some items, which begin at row ``first``, with all: by row, the nearest first."""
    near = (some @ taken).tocoo()
    rows, columns, scores = near.coords[0] + first, near.coords[1], near.data
    other = rows != columns
    rows, columns, scores = rows[other], columns[other], scores[other]
    order = np.lexsort((columns, -scores, rows))
    rows, columns = rows[order], columns[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < most
    return rows[kept].astype(np.int64), columns[kept].astype(np.int32)
