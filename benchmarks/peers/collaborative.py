"""The peers of ``movielens.py``: popularity, ALS and BPR (implicit), EASE (Steck 2019).

Each is tuned on validation and fitted on training + validation.

Usage: collaborative.py SPLIT.npz FOLDER. Reads ``train``, ``valid``, ``test`` pairs ``(n, 2)`` of (query, item) rows, and the numbers
of ``queries`` and ``items``. Writes ``<peer>.npy``: for each query the 100 best items that it did not have in training or validation.
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
Scores = Callable[[sp.csr_matrix], np.ndarray]


def popularity(pairs: sp.csr_matrix) -> np.ndarray:
    counts = np.asarray(pairs.sum(axis=0)).ravel()
    return np.tile(counts, (pairs.shape[0], 1))


def ease(regularization: float) -> Scores:
    """Embarrassingly shallow autoencoder: B = I - P diag(1 / diag P), P = (X'X + lambda I)^-1."""

    def score(pairs: sp.csr_matrix) -> np.ndarray:
        dense = pairs.toarray()
        precision = np.linalg.inv(dense.T @ dense + regularization * np.eye(dense.shape[1]))
        weights = -precision / np.diag(precision)
        np.fill_diagonal(weights, 0.0)
        return dense @ weights

    return score


def als(factors: int, regularization: float, alpha: float) -> Scores:
    def score(pairs: sp.csr_matrix) -> np.ndarray:
        model = implicit.als.AlternatingLeastSquares(
            factors=factors, regularization=regularization, alpha=alpha, iterations=20, random_state=0, num_threads=1
        )
        model.fit(pairs, show_progress=False)
        return model.user_factors @ model.item_factors.T

    return score


def bpr(factors: int, rate: float, regularization: float, epochs: int) -> Scores:
    def score(pairs: sp.csr_matrix) -> np.ndarray:
        model = implicit.bpr.BayesianPersonalizedRanking(
            factors=factors, learning_rate=rate, regularization=regularization, iterations=epochs, random_state=0, num_threads=1
        )
        model.fit(pairs, show_progress=False)
        return model.user_factors @ model.item_factors.T

    return score


GRIDS: dict[str, list[Scores]] = {
    "popularity": [popularity],
    "bpr": [bpr(*choice) for choice in itertools.product((32, 64, 128), (0.01, 0.02), (0.01, 0.03), (100, 200))],
    "als": [als(*choice) for choice in itertools.product((32, 64, 128), (0.1, 1.0, 10.0), (1.0, 5.0, 20.0))],
    "ease": [ease(regularization) for regularization in (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)],
}


def best(scores: np.ndarray, seen: sp.csr_matrix, depth: int) -> np.ndarray:
    scores = scores.astype(np.float64, copy=True)
    scores[seen.nonzero()] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth]


def recall(rows: np.ndarray, wanted: np.ndarray) -> float:
    found = (rows[wanted[:, 0]] == wanted[:, 1:]).any(axis=1)
    hits = np.bincount(wanted[:, 0], weights=found, minlength=len(rows))
    counts = np.bincount(wanted[:, 0], minlength=len(rows))
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def main() -> None:
    split, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    shape = (int(split["queries"]), int(split["items"]))
    as_matrix = lambda pairs: sp.csr_matrix((np.ones(len(pairs), np.float32), pairs.T), shape=shape)  # noqa: E731
    train, fitted = as_matrix(split["train"]), as_matrix(np.concatenate([split["train"], split["valid"]]))
    for name, grid in GRIDS.items():
        tuned = [recall(best(score(train), train, 10), split["valid"]) for score in grid]
        np.save(folder / f"{name}.npy", best(grid[int(np.argmax(tuned))](fitted), fitted, DEPTH))
        print(f"{name}: {len(grid)} settings, best validation recall@10 {max(tuned):.4f}", flush=True)


if __name__ == "__main__":
    main()
