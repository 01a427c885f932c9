"""Ranking quality against labels, computed by ir-measures.

Where the gains are not whole numbers, or large ones, trec_eval cannot go, and nDCG alone is computed here; a test holds it to ir-measures
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ir_measures
import numpy as np
import numpy.typing as npt
from ir_measures import RR, R, nDCG

from tt_hydra.contracts import FloatArray, IntArray, PerQuery, Ragged, SearchResult

_CHUNK = 4096
"""Queries that are held as ir-measures' dictionaries at a time."""
_LARGEST_GRADE = 1000
"""Gain up to which trec_eval is asked, whose time and memory for a query grow with the largest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cutoffs:
    """Depths at which the metrics are taken."""

    recall: tuple[int, ...] = (10, 20, 50, 100)
    ndcg: int = 10
    mrr: int = 10

    @property
    def deepest(self) -> int:
        """How many results each query needs."""
        return max(*self.recall, self.ndcg, self.mrr)


DEFAULT_CUTOFFS = Cutoffs()
TEN = Cutoffs(recall=(10,))
"""Figures of a search for ten: an index that is asked for more looks further, and finds more of the first ten."""


@dataclass(frozen=True, slots=True)
class RankingFigures:
    """Ranking quality of a set of queries.

    Attributes:
        per_query: the metrics (``recall@10``, ``ndcg@10``, ``mrr@10`` ...) of each query that has a relevant item, in input order.
        left_out: number of queries without a relevant item; they enter no figure.
    """

    per_query: PerQuery
    left_out: int

    @property
    def means(self) -> dict[str, float]:
        """Each metric's mean over the queries; empty when every query was left out."""
        if not self.per_query.query_ids:
            return {}
        return {name: float(np.mean(values, dtype=np.float64)) for name, values in self.per_query.values.items()}


@dataclass(frozen=True, slots=True)
class _Labels:
    """Distinct relevant items (catalogue rows) and their positive gains, by query."""

    items: Ragged
    gains: Ragged

    def take(self, queries: IntArray) -> _Labels:
        return _Labels(self.items.take(queries), self.gains.take(queries))


def evaluate_ranking(
    result: SearchResult,
    relevant: Ragged,
    gains: Ragged | None = None,
    query_ids: Sequence[str] | None = None,
    cutoffs: Cutoffs = DEFAULT_CUTOFFS,
) -> RankingFigures:
    """Recall, nDCG and MRR of a search result.

    The order of ``result`` is what is judged: its scores, and the ties among them, play no part. nDCG has trec_eval's convention:
    the gain enters linearly (not as ``2**gain - 1``), discounted by ``log2(rank + 1)``. Recall is divided by the number of all
    relevant items, also where that exceeds the cutoff.

    Args:
        result: ``(queries, k)`` with k of at least the deepest cutoff; rows of -1 are padding.
        relevant: by query the catalogue rows of its relevant items; an item that occurs twice counts once, with its greatest gain.
        gains: by query the gains of ``relevant``; items with a gain of 0 or less are not relevant. None: 1 each.
        query_ids: what to call the queries; by default their numbers.
        cutoffs: depths of the metrics.

    Raises:
        ValueError: the arguments do not belong together, or the result is shallower than a cutoff.
    """
    ids = [str(number) for number in range(len(result.rows))] if query_ids is None else query_ids
    _check(result, relevant, gains, ids, cutoffs)
    labels = _distinct(relevant, gains)
    judged = np.flatnonzero(np.diff(labels.items.offsets))
    labels, rows = labels.take(judged), result.rows[judged]
    values = _through_ir_measures(rows, labels, cutoffs)
    if not _grades(labels.gains.values):
        values[f"ndcg@{cutoffs.ndcg}"] = ndcg(rows, labels.items, labels.gains, cutoffs.ndcg)
    return RankingFigures(PerQuery([str(ids[query]) for query in judged.tolist()], values), len(result.rows) - len(judged))


def ndcg(rows: IntArray, items: Ragged, gains: Ragged, cutoff: int) -> FloatArray:
    """Discounted cumulative gain over the ideal one (nDCG), gain linear and not necessarily whole; vectorised.

    Args:
        rows: ``(queries, k)`` catalogue rows, best first, -1 for padding at the end.
        items: by query its distinct relevant catalogue rows, at least one.
        gains: by query their gains, above 0.
        cutoff: depth.

    Returns:
        ``(queries,)`` float32.
    """
    lengths = np.diff(items.offsets)
    owner = np.repeat(np.arange(len(items)), lengths)
    best_first = np.lexsort((-gains.values.astype(np.float64), owner))
    rank = np.arange(len(owner)) - np.repeat(items.offsets[:-1], lengths)
    ideal = _discounted(owner, rank, gains.values[best_first], cutoff, len(items))

    top = rows[:, :cutoff]
    stride = int(max(items.values.max(initial=0), top.max(initial=0))) + 1
    keys = owner * stride + items.values.astype(np.int64)
    by_key = np.argsort(keys)
    wanted = np.arange(len(top))[:, None] * stride + top
    place = np.minimum(np.searchsorted(keys, wanted, sorter=by_key), max(len(keys) - 1, 0))
    hit = (keys[by_key][place] == wanted) & (top >= 0)
    query, position = np.nonzero(hit)
    reached = _discounted(query, position, gains.values[by_key][place[hit]], cutoff, len(items))
    return (reached / ideal).astype(np.float32)


def _discounted(query: IntArray, rank: IntArray, gain: npt.NDArray[np.generic], cutoff: int, num_queries: int) -> npt.NDArray[np.float64]:
    """Discounted sum of gains of each query; rank counts from 0."""
    terms = np.where(rank < cutoff, gain.astype(np.float64) / np.log2(rank + 2.0), 0.0)
    return np.bincount(query, weights=terms, minlength=num_queries).astype(np.float64, copy=False)


def _check(result: SearchResult, relevant: Ragged, gains: Ragged | None, ids: Sequence[str], cutoffs: Cutoffs) -> None:
    queries, depth = result.rows.shape
    if len(relevant) != queries or len(ids) != queries:
        raise ValueError(f"{queries} results, {len(relevant)} rows of relevant items and {len(ids)} query ids must be equally many")
    if gains is not None and not np.array_equal(gains.offsets, relevant.offsets):
        raise ValueError("gains and relevant items must have the same row lengths")
    if depth < cutoffs.deepest:
        raise ValueError(f"the result holds {depth} items a query, the deepest cutoff needs {cutoffs.deepest}: search deeper, pad with -1")


def _distinct(relevant: Ragged, gains: Ragged | None) -> _Labels:
    """Sorts each query's items, drops those without gain, and joins repeated ones at their greatest gain."""
    items = relevant.values.astype(np.int64)
    gain = np.ones(len(items)) if gains is None else gains.values.astype(np.float64)
    owner = relevant.owners()
    order = np.lexsort((-gain, items, owner))
    order = order[gain[order] > 0]
    items, gain, owner = items[order], gain[order], owner[order]
    first = np.ones(len(items), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (owner[1:] != owner[:-1])
    lengths = np.bincount(owner[first], minlength=len(relevant))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return _Labels(Ragged(items[first], offsets), Ragged(gain[first], offsets))


def _grades(gains: npt.NDArray[np.generic]) -> bool:
    """Whether trec_eval can take the gains: whole numbers, none of them large."""
    wide = gains.astype(np.float64)
    return bool(np.array_equal(wide, np.round(wide)) and wide.max(initial=0) <= _LARGEST_GRADE)


def _through_ir_measures(rows: IntArray, labels: _Labels, cutoffs: Cutoffs) -> dict[str, FloatArray]:
    """Every metric of every query; gains that it cannot take count as 1, which only nDCG would notice."""
    measures = {R @ depth: f"recall@{depth}" for depth in cutoffs.recall}
    measures |= {nDCG @ cutoffs.ndcg: f"ndcg@{cutoffs.ndcg}", RR @ cutoffs.mrr: f"mrr@{cutoffs.mrr}"}
    values = {name: np.zeros(len(rows), dtype=np.float32) for name in measures.values()}
    gains = labels.gains if _grades(labels.gains.values) else Ragged(np.ones_like(labels.gains.values), labels.gains.offsets)
    labels = _Labels(labels.items, gains)
    for start in range(0, len(rows), _CHUNK):
        queries = range(start, min(start + _CHUNK, len(rows)))
        evaluator = ir_measures.evaluator(list(measures), dict(_qrels(labels, queries)))
        for figure in evaluator.iter_calc(dict(_run(rows, queries))):
            values[measures[figure.measure]][int(figure.query_id)] = figure.value
    return values


def _qrels(labels: _Labels, queries: range) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Labels of a range of queries, their gains whole."""
    for query in queries:
        pairs = zip(labels.items.row(query).tolist(), labels.gains.row(query).tolist(), strict=True)
        yield str(query), {str(item): int(gain) for item, gain in pairs}


def _run(rows: IntArray, queries: range) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Results of a range of queries under strictly decreasing scores: trec_eval sorts by score and would reorder ties."""
    scores = np.arange(rows.shape[1], 0, -1, dtype=np.float64)
    for query in queries:
        real = rows[query] >= 0
        yield str(query), dict(zip(map(str, rows[query][real].tolist()), scores[real].tolist(), strict=True))
