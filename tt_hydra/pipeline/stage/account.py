"""Where recall is lost: to the model, the dimension, the codes, or the graph or lists, by swapping one of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tt_hydra.contracts import FloatArray, Metric, Ragged, SearchResult
from tt_hydra.index.factory import Factory
from tt_hydra.index.faiss_index import FaissIndex, similarities
from tt_hydra.index.flat import Flat
from tt_hydra.index.vectors import prepared
from tt_hydra.metrics.ann import recall_per_query
from tt_hydra.metrics.exact import exact_search
from tt_hydra.metrics.ranking import TEN, evaluate_ranking
from tt_hydra.pipeline.stage.exclude import Searcher, search_excluding
from tt_hydra.quantization.none import NoQuantization

RECALL = "recall@10"


class JudgedQueries(Protocol):
    """Queries with what they should find among the items; says how much of it a search gives."""

    @property
    def items(self) -> FloatArray:
        """``(items, dim)`` vectors."""

    @property
    def metric(self) -> Metric:
        """Similarity."""

    def recall(self, searcher: Searcher) -> FloatArray:
        """Recall@10 of each query that counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Queries with their answers, and what they are searched among.

    Attributes:
        queries: ``(queries, dim)`` vectors.
        items: ``(items, dim)`` vectors.
        relevant: by query the item rows that answer it.
        gains: their grades.
        seen: by query the item rows that it must not get; None for none.
        metric: similarity.
    """

    queries: FloatArray
    items: FloatArray
    relevant: Ragged
    gains: Ragged
    seen: Ragged | None
    metric: Metric

    def recall(self, searcher: Searcher) -> FloatArray:
        """Recall@10 of each query that has an answer, by a search for ten."""
        found = search_excluding(searcher, self.queries, TEN.deepest, self.seen)
        return evaluate_ranking(found, self.relevant, self.gains, cutoffs=TEN).per_query.values[RECALL]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unlabelled:
    """Queries without answers, for which exact search stands.

    Attributes:
        queries: ``(queries, dim)`` vectors.
        items: ``(items, dim)`` vectors.
        exact: the ten best items of each query.
        metric: similarity.
    """

    queries: FloatArray
    items: FloatArray
    exact: SearchResult
    metric: Metric

    def recall(self, searcher: Searcher) -> FloatArray:
        """Share of each query's exact list that is found, by distance."""
        found = searcher.search(self.queries, self.exact.rows.shape[1])
        return recall_per_query(found, self.exact, self.queries, self.items, self.metric)


def prefix_recall(judge: JudgedQueries, dim: int) -> FloatArray:
    """Recall@10 of each query by exact search over the first ``dim`` dimensions."""
    return judge.recall(_Reduced(judge.items, judge.metric, lambda vectors: prepared(vectors[:, :dim], judge.metric, "vectors")))


@dataclass(frozen=True, slots=True)
class _Reduced:
    """Exact search by inner products of what ``reduce`` leaves of vectors; with ``refine`` the best of its candidates by whole vectors."""

    items: FloatArray
    metric: Metric
    reduce: Callable[[FloatArray], FloatArray]
    refine: int = 0

    def search(self, queries: FloatArray, k: int) -> SearchResult:
        fetched = min(len(self.items), k * self.refine) if self.refine else k
        found = exact_search(self.reduce(queries), self.reduce(self.items), max(k, fetched), "dot")
        if not self.refine or k >= len(self.items):
            return found
        scores = similarities(prepared(queries, self.metric, "queries"), found.rows, self.items, self.metric)
        order = np.lexsort((found.rows, -scores), axis=-1)[:, :k]
        return SearchResult(np.take_along_axis(scores, order, axis=1), np.take_along_axis(found.rows, order, axis=1))


def lost(judge: JudgedQueries, index: FaissIndex, exact: float, real: float) -> Mapping[str, float]:
    """Recall@10 that is lost at each step from a perfect answer to what the index finds; with that recall they make 1.

    ``model``: the best that the whole vectors allow. ``dim``: the dimensions that the index leaves out, by a prefix or a projection.
    ``quantizer``: its codes, compared exhaustively and rescored as it rescores. ``search``: its graph or lists. A step that finds
    more than the one before it, as rescoring does after a short prefix, loses less than nothing.

    Args:
        judge: of every search.
        index: what is accounted for.
        exact: recall@10 of exact search over whole vectors.
        real: recall@10 of the index.
    """
    refine = index.search_params.get("refine", 0)
    reduces = index.projects or index.prefix_dim is not None
    dim = _mean(judge.recall(_Reduced(judge.items, judge.metric, index.reduced, refine))) if reduces else exact
    if isinstance(index.quantization, NoQuantization) and not isinstance(index.spec, Factory):
        codes = dim
    elif isinstance(index.spec, Flat):
        codes = real
    else:
        codes = _mean(judge.recall(index.exhaustive()))
    return {"model": 1 - exact, "dim": exact - dim, "quantizer": dim - codes, "search": codes - real}


def _mean(values: FloatArray) -> float:
    return float(np.mean(values, dtype=np.float64))
