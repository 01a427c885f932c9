"""Peers that know nothing but pairs: popularity, item-kNN, ALS and BPR (implicit), EASE (Steck 2019).

Each is tuned on validation and fitted on training + validation.

Usage: collaborative.py SPLIT.npz FOLDER PEER... Reads ``train``, ``valid``, ``test`` pairs ``(n, 2)`` of (query, item) rows, and the
numbers of ``queries`` and ``items``. Writes ``<peer>.npy``: for each query the 100 best items that it did not have in training or
validation.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import implicit
import numpy as np
import scipy.sparse as sp

DEPTH = 100
TUNED_AT = 10
QUERIES_AT_ONCE = 512
Scores = Callable[[np.ndarray], np.ndarray]
Peer = Callable[[sp.csr_matrix], Scores]
"""Fits on pairs; what comes out scores all items for some queries."""


def popularity(pairs: sp.csr_matrix) -> Scores:
    counts = np.asarray(pairs.sum(axis=0)).ravel()
    return lambda rows: np.broadcast_to(counts, (len(rows), len(counts)))


def ease(regularization: float) -> Peer:
    """Embarrassingly shallow autoencoder: B = I - P diag(1 / diag P), P = (X'X + lambda I)^-1."""

    def fit(pairs: sp.csr_matrix) -> Scores:
        dense = pairs.toarray()
        precision = np.linalg.inv(dense.T @ dense + regularization * np.eye(dense.shape[1]))
        weights = -precision / np.diag(precision)
        np.fill_diagonal(weights, 0.0)
        return lambda rows: dense[rows] @ weights

    return fit


def knn(similarity: type, neighbours: int) -> Peer:
    def fit(pairs: sp.csr_matrix) -> Scores:
        model = similarity(K=neighbours, num_threads=0)
        model.fit(pairs, show_progress=False)
        return lambda rows: (pairs[rows] @ model.similarity).toarray()

    return fit


def als(factors: int, regularization: float, alpha: float) -> Peer:
    def fit(pairs: sp.csr_matrix) -> Scores:
        model = implicit.als.AlternatingLeastSquares(
            factors=factors, regularization=regularization, alpha=alpha, iterations=20, random_state=0, num_threads=1
        )
        model.fit(pairs, show_progress=False)
        return lambda rows: model.user_factors[rows] @ model.item_factors.T

    return fit


def bpr(factors: int, rate: float, regularization: float, epochs: int) -> Peer:
    def fit(pairs: sp.csr_matrix) -> Scores:
        model = implicit.bpr.BayesianPersonalizedRanking(
            factors=factors, learning_rate=rate, regularization=regularization, iterations=epochs, random_state=0, num_threads=1
        )
        model.fit(pairs, show_progress=False)
        return lambda rows: model.user_factors[rows] @ model.item_factors.T

    return fit


NEAREST = implicit.nearest_neighbours
GRIDS: dict[str, list[Peer]] = {
    "popularity": [popularity],
    "bpr": [bpr(*choice) for choice in itertools.product((32, 64, 128), (0.01, 0.02), (0.01, 0.03), (100, 200))],
    "als": [als(*choice) for choice in itertools.product((32, 64, 128), (0.1, 1.0, 10.0), (1.0, 5.0, 20.0))],
    "als_small": [als(*choice) for choice in itertools.product((64,), (1.0, 10.0), (1.0, 10.0))],
    "ease": [ease(regularization) for regularization in (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)],
    "knn": [knn(*choice) for choice in itertools.product((NEAREST.CosineRecommender, NEAREST.TFIDFRecommender), (20, 50, 100, 200))],
}


def best(scores: Scores, seen: sp.csr_matrix, queries: np.ndarray, depth: int) -> np.ndarray:
    found = np.empty((len(queries), depth), np.int64)
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        rows = queries[start : start + QUERIES_AT_ONCE]
        values = -scores(rows).astype(np.float32)
        values[seen[rows].nonzero()] = np.inf
        leading = np.sort(np.argpartition(values, depth, axis=1)[:, :depth], axis=1)
        order = np.argsort(np.take_along_axis(values, leading, axis=1), axis=1, kind="stable")
        found[start : start + len(rows)] = np.take_along_axis(leading, order, axis=1)
    return found


def recall(rows: np.ndarray, queries: np.ndarray, wanted: np.ndarray) -> float:
    place = np.searchsorted(queries, wanted[:, 0])
    found = (rows[place] == wanted[:, 1:]).any(axis=1)
    return float((np.bincount(place, weights=found) / np.bincount(place)).mean())


def main() -> None:
    split, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    shape = (int(split["queries"]), int(split["items"]))
    as_matrix = lambda pairs: sp.csr_matrix((np.ones(len(pairs), np.float32), pairs.T), shape=shape)  # noqa: E731
    train, fitted = as_matrix(split["train"]), as_matrix(np.concatenate([split["train"], split["valid"]]))
    judged = np.unique(split["valid"][:, 0])
    for name in sys.argv[3:]:
        grid = GRIDS[name]
        tuned = [recall(best(fit(train), train, judged, TUNED_AT), judged, split["valid"]) for fit in grid] if len(grid) > 1 else [0.0]
        np.save(folder / f"{name}.npy", best(grid[int(np.argmax(tuned))](fitted), fitted, np.arange(shape[0]), DEPTH))
        about = f"{len(grid)} settings, best validation recall@{TUNED_AT} {max(tuned):.4f}" if len(grid) > 1 else "nothing to tune"
        print(f"{name}: {about}", flush=True)


if __name__ == "__main__":
    main()
