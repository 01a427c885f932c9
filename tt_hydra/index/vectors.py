"""The boundary to FAISS, which takes NaN and wrong widths silently: every matrix is checked and normalised here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import FloatArray, IntArray, Metric
from tt_hydra.errors import IndexSpecError

CHUNK = 65_536
"""Rows read, checked and normalised at a time, so that a memory-mapped matrix is never copied whole."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix of item vectors, ``(size, dim)``, possibly memory-mapped, seen as the metric needs it."""

    matrix: npt.NDArray[np.generic]
    metric: Metric

    def __post_init__(self) -> None:
        check_shape(self.matrix, None, "item vectors")
        if not self.matrix.size:
            raise IndexSpecError(f"item vectors are empty, shape {self.matrix.shape}: an index needs at least one row and one column")
        if self.metric not in ("dot", "cosine"):
            raise IndexSpecError(f"metric={self.metric!r} is unknown: allowed are dot and cosine")

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    @property
    def dim(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    def chunks(self) -> Iterator[FloatArray]:
        """All rows in order, checked and prepared."""
        for start in range(0, self.size, CHUNK):
            yield prepared(self.matrix[start : start + CHUNK], self.metric, f"item vectors from row {start}")

    def take(self, rows: IntArray) -> FloatArray:
        """Some rows, checked and prepared."""
        return prepared(self.matrix[rows], self.metric, "item vectors")

    def sample(self, size: int, seed: int) -> FloatArray:
        """At most ``size`` rows drawn without replacement, in row order."""
        if size >= self.size:
            return np.concatenate(list(self.chunks()))
        return self.take(np.sort(np.random.default_rng(seed).choice(self.size, size, replace=False)))


def check_shape(matrix: npt.NDArray[np.generic], dim: int | None, what: str) -> None:
    """Checks that ``matrix`` is two-dimensional, numeric and of width ``dim``.

    Raises:
        IndexSpecError: it is not.
    """
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise IndexSpecError(f"{what} must be a matrix of numbers (rows, dimensions), got shape {matrix.shape} of {matrix.dtype}")
    if dim is not None and matrix.shape[1] != dim:
        raise IndexSpecError(f"{what} have {matrix.shape[1]} dimensions, the index has {dim}: embed both with the same model")


def prepared(matrix: npt.NDArray[np.generic], metric: Metric, what: str) -> FloatArray:
    """A contiguous float32 copy or view whose inner products are the metric; zero vectors stay zero.

    Raises:
        IndexSpecError: a value is not finite.
    """
    values: FloatArray = np.ascontiguousarray(matrix, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        raise IndexSpecError(f"{what} hold NaN or infinity, first in row {int(np.argmin(finite.all(axis=1)))} of them: embed again")
    if metric == "dot":
        return values
    wide = values.astype(np.float64)
    norms = np.sqrt(np.einsum("rd,rd->r", wide, wide))
    norms[norms == 0] = 1
    wide /= norms[:, None]
    return wide.astype(np.float32)
