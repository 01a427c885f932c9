"""Exact search in bounded memory: the truth that figures of models and indexes are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tt_hydra.contracts import FloatArray, Metric, Ragged, SearchResult
from tt_hydra.errors import DataError

QUERY_CHUNK = 1024
ITEM_CHUNK = 8192


def exact_search(
    queries: FloatArray,
    items: FloatArray,
    k: int,
    metric: Metric,
    *,
    exclude: Ragged | None = None,
    query_chunk: int = QUERY_CHUNK,
    item_chunk: int = ITEM_CHUNK,
) -> SearchResult:
    """The k best items of each query, ordered by (score descending, row ascending), at the k-th place too.

    Products are summed in float64 and rounded to float32, so that a score does not depend on where chunks are cut, and equal
    vectors have equal scores. Memory: one block of ``query_chunk * item_chunk`` scores, whatever the number of either.

    Args:
        queries: ``(queries, dim)``, possibly memory-mapped.
        items: ``(items, dim)``, possibly memory-mapped.
        k: how many; lists end with -inf and -1 where fewer items are left.
        metric: cosine normalises both sides; a zero vector scores 0.
        exclude: by query the item rows that it must not get.
        query_chunk: queries scored at a time.
        item_chunk: items scored at a time.

    Raises:
        DataError: widths differ, or a vector is not finite.
        ValueError: ``exclude`` has not one row for each query.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise DataError(f"queries {queries.shape} and items {items.shape} must be matrices of equal width")
    if exclude is not None and len(exclude) != len(queries):
        raise ValueError(f"exclude has {len(exclude)} rows for {len(queries)} queries")
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(queries), query_chunk):
        part = slice(start, min(start + query_chunk, len(queries)))
        excluded = None if exclude is None else _Pairs.of(exclude.take(np.arange(part.start, part.stop)))
        best = _Best.empty(part.stop - part.start, k)
        for first, block in _blocks(_wide(queries[part], metric, "queries"), items, metric, item_chunk):
            if excluded is not None:
                block[excluded.within(first, block.shape[1])] = -torch.inf
            best = best.with_block(block, first)
        scores[part], rows[part] = best.scores.numpy(), best.rows.numpy()
    rows[np.isneginf(scores)] = -1
    return SearchResult(scores, rows)


def _blocks(queries: Tensor, items: FloatArray, metric: Metric, item_chunk: int) -> Iterator[tuple[int, Tensor]]:
    """First item row and ``(queries, chunk)`` float32 scores, chunk after chunk."""
    for first in range(0, len(items), item_chunk):
        chunk = _wide(items[first : first + item_chunk], metric, f"items from row {first}")
        yield first, (queries @ chunk.T).float()


def _wide(vectors: FloatArray, metric: Metric, what: str) -> Tensor:
    values = torch.from_numpy(np.asarray(vectors, dtype=np.float64))
    if not torch.isfinite(values).all():
        raise DataError(f"{what} hold NaN or infinity: embed again")
    if metric == "dot":
        return values
    norms = values.norm(dim=1, keepdim=True)
    return values / torch.where(norms > 0, norms, 1.0)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Excluded (query of the chunk, item row) pairs, by item row."""

    queries: Tensor
    items: Tensor

    @classmethod
    def of(cls, lists: Ragged) -> _Pairs:
        items = torch.from_numpy(lists.values.astype(np.int64))
        queries = torch.from_numpy(lists.owners())
        order = torch.argsort(items)
        return cls(queries[order], items[order])

    def within(self, first: int, width: int) -> tuple[Tensor, Tensor]:
        """Positions in a block of scores that starts at item ``first``."""
        low, high = (int(place) for place in torch.searchsorted(self.items, torch.tensor([first, first + width])))
        return self.queries[low:high], self.items[low:high] - first


@dataclass(frozen=True, slots=True)
class _Best:
    """The best items so far, ``(queries, k)`` scores and rows, in the final order."""

    scores: Tensor
    rows: Tensor

    @classmethod
    def empty(cls, queries: int, k: int) -> _Best:
        return cls(torch.full((queries, k), -torch.inf), torch.full((queries, k), -1))

    def with_block(self, block: Tensor, first: int) -> _Best:
        """Takes in the scores of items ``first ...``, all behind those seen before: a stable sort keeps ties in row order."""
        k = self.scores.shape[1]
        scores, places = self._better(block)
        merged, order = torch.cat([self.scores, scores], dim=1).sort(dim=1, descending=True, stable=True)
        rows = torch.cat([self.rows, places + first], dim=1).gather(1, order[:, :k])
        return _Best(merged[:, :k], rows)

    def _better(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of a block that come into question and their places: those above the k-th best so far, mostly few, filled up with -inf."""
        k, width = self.scores.shape[1], block.shape[1]
        above = (block > self.scores[:, -1:]).numpy()
        if np.count_nonzero(above) > len(block) * k:
            return _leading(block, k)
        flat = np.flatnonzero(above)
        queries, places = np.divmod(flat, width)
        counts = np.bincount(queries, minlength=len(block))
        if (most := int(counts.max(initial=0))) > k:
            return _leading(block, k)
        column = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
        scores, found = np.full((len(block), most), -np.inf, np.float32), np.zeros((len(block), most), np.int64)
        scores[queries, column], found[queries, column] = block.numpy().ravel()[flat], places
        return torch.from_numpy(scores), torch.from_numpy(found)


def _leading(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best of each row of ``block`` in order of (score descending, place ascending), ties at the k-th place included."""
    width = block.shape[1]
    if k >= width:
        return block.sort(dim=1, descending=True, stable=True)
    scores, places = block.topk(k + 1, dim=1)
    tied = scores[:, k] == scores[:, k - 1]
    places, order = places[:, :k].sort(dim=1)
    scores, again = scores[:, :k].gather(1, order).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, again)
    if tied.any():
        full_scores, full_places = block[tied].sort(dim=1, descending=True, stable=True)
        scores[tied], places[tied] = full_scores[:, :k], full_places[:, :k]
    return scores, places
