"""The rotation that turns the vectors of one model into the space of another (Schoenemann 1966, the orthogonal Procrustes problem)."""

from __future__ import annotations

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Metric
from tt_hydra.errors import ConfigError

SAMPLE = 200_000
"""Items that it is learnt from, at most."""


def turn_between(source: FloatArray, target: FloatArray, shared: tuple[IntArray, IntArray], metrics: tuple[Metric, Metric]) -> FloatArray:
    """The map with orthonormal rows that brings the vectors of shared items as near to each other as can be.

    It keeps every similarity within the source; where the target is the source turned, it is exact.

    Args:
        source: ``(n, width)`` item vectors of the new model.
        target: ``(m, dim)`` item vectors of the old one, ``dim >= width``.
        shared: rows of the items that both hold, in ``source`` and in ``target``.
        metrics: of both.

    Returns:
        ``(width, dim)`` float32; ``vectors @ map`` are vectors in the space of the target.

    Raises:
        ConfigError: no such map makes sense, and why.
    """
    width, dim = source.shape[1], target.shape[1]
    if metrics[0] != metrics[1]:
        raise ConfigError(f"bridge=true: the new model's metric is {metrics[0]}, the index's is {metrics[1]}: set bridge=false")
    if width > dim:
        raise ConfigError(
            f"bridge=true: the new model has {width} dimensions, the index only {dim}: a map to fewer dimensions loses what tells items "
            "apart. Set bridge=false"
        )
    count = len(shared[0])
    if count < dim:
        raise ConfigError(
            f"bridge=true: a map in {dim} dimensions is learnt from at least {dim} items, and both models share {count}: set bridge=false"
        )
    chosen = np.arange(count) if count <= SAMPLE else np.sort(np.random.default_rng(0).choice(count, SAMPLE, replace=False))
    new, old = (np.asarray(vectors[rows[chosen]], np.float64) for vectors, rows in zip((source, target), shared, strict=True))
    left, _, right = np.linalg.svd(new.T @ old, full_matrices=False)
    turn: FloatArray = (left @ right).astype(np.float32)
    return turn
