"""How much of the exact answer an approximate search gives."""

from __future__ import annotations

import numpy as np

from tt_hydra.contracts import Estimate, FloatArray, IntArray, Metric, SearchResult
from tt_hydra.metrics.significance import RESAMPLES, mean_interval

TOLERANCE = 1e-5
"""Share of a list's largest score by which a score may miss the k-th and still tie with it: float32 sums differ by less."""
CHUNK = 4096


def ann_recall(
    found: SearchResult,
    exact: SearchResult,
    queries: FloatArray,
    items: FloatArray,
    metric: Metric,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean recall of an approximate search against the exact one, with its 95% bootstrap interval over queries.

    Args:
        found: what the index gave.
        exact: what exact search over the same items gave, with the same k.
        queries: ``(queries, dim)`` that both were asked.
        items: ``(items, dim)`` that both searched.
        metric: similarity that both ranked by.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: the two results are not of the same shape, or there is no query.
    """
    return mean_interval(recall_per_query(found, exact, queries, items, metric), seed=seed, resamples=resamples)


def recall_per_query(found: SearchResult, exact: SearchResult, queries: FloatArray, items: FloatArray, metric: Metric) -> FloatArray:
    """Each query's share of the exact list that was found, by distance: ``(queries,)`` float32.

    A row counts if its exact score reaches the k-th exact score, so that items of equal score stand for each other; it counts
    once. Where fewer than k items exist, their number takes the place of k; a query with none has recall 1.

    Raises:
        ValueError: the two results are not of the same shape.
    """
    if found.rows.shape != exact.rows.shape:
        raise ValueError(f"results must be of one shape, got {found.rows.shape} found and {exact.rows.shape} exact")
    recall = np.ones(len(found.rows), np.float32)
    for start in range(0, len(recall), CHUNK):
        part = slice(start, start + CHUNK)
        wanted = (exact.rows[part] >= 0).sum(axis=1)
        scores = _exact_scores(queries[part], items, found.rows[part], metric)
        hits = (scores >= _threshold(exact.scores[part], wanted)[:, None]) & _first(found.rows[part])
        recall[part] = np.where(wanted > 0, np.minimum(hits.sum(axis=1), wanted) / np.maximum(wanted, 1), 1)
    return recall


def _threshold(scores: FloatArray, wanted: IntArray) -> FloatArray:
    last = np.take_along_axis(scores, np.maximum(wanted - 1, 0)[:, None], axis=1)[:, 0]
    largest = np.abs(np.where(np.isfinite(scores), scores, 0)).max(axis=1, initial=0)
    threshold: FloatArray = (last - TOLERANCE * largest).astype(np.float32)
    return threshold


def _first(rows: IntArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """True at the first place of each real row of a list."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    new = np.ones(rows.shape, np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new & (ordered >= 0), axis=1)
    return first


def _exact_scores(queries: FloatArray, items: FloatArray, rows: IntArray, metric: Metric) -> FloatArray:
    scores = np.full(rows.shape, -np.inf)
    wide = _normalised(queries, metric)
    for rank in range(rows.shape[1]):
        scores[:, rank] = np.einsum("qd,qd->q", wide, _normalised(items[np.maximum(rows[:, rank], 0)], metric))
    return np.where(rows >= 0, scores, -np.inf).astype(np.float32)


def _normalised(vectors: FloatArray, metric: Metric) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    wide = np.asarray(vectors, dtype=np.float64)
    if metric == "dot":
        return wide
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    normalised: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = wide / np.where(norms > 0, norms, 1)
    return normalised
