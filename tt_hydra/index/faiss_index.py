"""FAISS behind the ``VectorIndex`` protocol."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Metric, SearchResult
from tt_hydra.errors import IndexSpecError
from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.engine import Engine
from tt_hydra.index.factory import Factory
from tt_hydra.index.mask import Mask, Seen, mask_of
from tt_hydra.index.structure import projects, transformed
from tt_hydra.index.vectors import check_shape, prepared
from tt_hydra.quantization.none import NoQuantization

RESCORED = 16_777_216
"""Numbers gathered at a time while rescoring (64 MB)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an index is, besides its FAISS part.

    Attributes:
        dim: of the vectors that it takes.
        prefix_dim: how many of their first dimensions it keeps; None for all.
    """

    spec: IndexSpec
    quantization: Quantization
    metric: Metric
    dim: int
    size: int
    search_params: Mapping[str, int]
    prefix_dim: int | None = None

    @property
    def width(self) -> int:
        """Dimensions that the FAISS part has."""
        return self.dim if self.prefix_dim is None else self.prefix_dim


class FaissIndex:
    """An immutable index over the rows of a matrix; safe to search from several threads.

    Scores are the metric. Behind a quantization they are its estimate of it, and over a prefix that of the prefix; with rescoring
    (``refine``) they are those of the full vectors again.

    Args:
        index: filled FAISS index for inner products of prepared vectors.
        header: what it is.
        vectors: the ``(size, dim)`` matrix that it was built on, raw, possibly memory-mapped; only rescoring reads it.
    """

    def __init__(self, index: faiss.Index, header: Header, vectors: npt.NDArray[np.generic] | None) -> None:
        self._index = index
        self._header = header
        self._vectors = vectors
        self._engine = Engine.of(index, header.search_params)
        self._exhaustive = False
        self._masks = Seen(mask_of)

    @property
    def spec(self) -> IndexSpec:
        """Kind of index."""
        return self._header.spec

    @property
    def quantization(self) -> Quantization:
        """How it stores vectors."""
        return self._header.quantization

    @property
    def size(self) -> int:
        """Number of indexed rows."""
        return self._header.size

    @property
    def dim(self) -> int:
        """Dimension of the vectors that it takes."""
        return self._header.dim

    @property
    def prefix_dim(self) -> int | None:
        """How many of the first dimensions are searched; None for all. Queries are cut, and brought to length 1 again, in here."""
        return self._header.prefix_dim

    @property
    def metric(self) -> Metric:
        """Similarity that its scores are."""
        return self._header.metric

    @property
    def search_params(self) -> Mapping[str, int]:
        """Search parameters that it takes, with their defaults: of ``nprobe``, ``efSearch``, ``k_factor`` and ``refine``."""
        return dict(self._header.search_params)

    @property
    def lists(self) -> tuple[IntArray, IntArray] | None:
        """The inverted list of each row, ``(size,)``, and the rows of each list; None for an index without lists."""
        return self._engine.lists

    def estimates(self, params: Mapping[str, int] | None = None) -> bool:
        """Whether its scores under these search parameters are estimates of the metric: those of codes or of a prefix."""
        whole = isinstance(self.quantization, NoQuantization) and not isinstance(self.spec, Factory) and self.prefix_dim is None
        return not whole and not self._values(params).get("refine")

    def search(
        self, queries: FloatArray, k: int, params: Mapping[str, int] | None = None, allowed: BoolArray | None = None
    ) -> SearchResult:
        """The k best rows of each query among the allowed ones, ties by row.

        Args:
            queries: ``(queries, dim)`` numbers, normalised or not.
            k: how many; may exceed ``size``: lists are as long as rows are left, then -inf and -1.
            params: values for some of ``search_params``, for this call only.
            allowed: ``(size,)`` bool, rows that may be returned; None for all. Of an array that cannot be written to, what is made
                for a search is kept for the next.

        Raises:
            IndexSpecError: an argument has the wrong shape, is not finite or is unknown; or rescoring is asked for without vectors.
        """
        values = self._values(params)
        mask = self._mask(allowed)
        check_shape(queries, self.dim, "queries")
        if k < 1:
            raise IndexSpecError(f"k={k}: at least one result must be asked for")
        wanted = prepared(queries, self.metric, "queries")
        left = self.size if mask is None else mask.count
        fetched = min(left, k * max(values.get("refine", 0), 1))
        if not fetched or not len(wanted):
            return _ordered(np.empty((len(wanted), 0), np.float32), np.empty((len(wanted), 0), np.int64), k)
        asked = wanted if self.prefix_dim is None else prepared(queries[:, : self.prefix_dim], self.metric, "queries")
        search = self._engine.compare_all if self._exhaustive else self._engine.search
        scores, rows = search(asked, fetched, values, mask)
        if values.get("refine"):
            assert self._vectors is not None
            scores = similarities(wanted, rows, self._vectors, self.metric)
        return _ordered(scores, rows, k)

    @property
    def projects(self) -> bool:
        """Whether it leaves dimensions out by a transform of its own."""
        return projects(self._index)

    def reduced(self, vectors: FloatArray) -> FloatArray:
        """Vectors as it sees them before they are coded: cut, normalised and projected; compared by inner products."""
        cut = vectors if self.prefix_dim is None else vectors[:, : self.prefix_dim]
        return transformed(self._index, prepared(cut, self.metric, "vectors"))

    def exhaustive(self) -> FaissIndex:
        """The same index, whose searches compare a query with every code: what its codes give, whatever its graph or lists leave out."""
        twin = copy.copy(self)
        twin._exhaustive = True
        return twin

    def tuned(self, spec: IndexSpec, quantization: Quantization, params: Mapping[str, int]) -> FaissIndex:
        """The same index with other defaults of its search parameters, and the spec that says them."""
        header = replace(self._header, spec=spec, quantization=quantization, search_params=self._values(params))
        return FaissIndex(self._index, header, self._vectors)

    def save(self, folder: Path) -> None:
        """Writes ``index.json`` and ``index.faiss`` under an existing folder; the vectors for rescoring are not among them."""
        from tt_hydra.index.storage import save  # noqa: PLC0415

        save(self._index, self._header, folder)

    def _values(self, params: Mapping[str, int] | None) -> dict[str, int]:
        known = self._header.search_params
        for name, value in (params or {}).items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise IndexSpecError(f"search parameter {name!r} is unknown to this index, which takes {sorted(known)}{hint}")
            if value < (0 if name == "refine" else 1):
                raise IndexSpecError(f"search parameter {name}={value} is too small: it must be positive")
        values = {**known, **(params or {})}
        if values.get("refine") and self._vectors is None:
            raise IndexSpecError("refine rescores with the full vectors: give them to load_index(folder, vectors), or search with refine=0")
        return values

    def _mask(self, allowed: BoolArray | None) -> Mask | None:
        if allowed is None:
            return None
        if allowed.shape != (self.size,) or allowed.dtype != np.bool_:
            raise IndexSpecError(f"allowed must be {self.size} booleans, one for each row, got shape {allowed.shape} of {allowed.dtype}")
        return self._masks.of(allowed)


def similarities(queries: FloatArray, rows: IntArray, vectors: npt.NDArray[np.generic], metric: Metric) -> FloatArray:
    """The metric between each query and some rows of ``vectors``, in bounded memory.

    Args:
        queries: ``(queries, dim)``, prepared.
        rows: ``(queries, candidates)``.
        vectors: ``(size, dim)``, raw, possibly memory-mapped.
        metric: dot or cosine.
    """
    dim = vectors.shape[1]
    scores = np.empty(rows.shape, np.float32)
    step = max(1, RESCORED // (rows.shape[1] * dim))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        candidates = _taken(vectors, rows[part].ravel(), metric)
        scores[part] = np.einsum("qd,qcd->qc", queries[part], candidates.reshape(*rows[part].shape, dim))
    return scores


def _taken(vectors: npt.NDArray[np.generic], rows: IntArray, metric: Metric) -> FloatArray:
    """Some rows, prepared; each of them once, where there are more of them than vectors."""
    if len(rows) <= len(vectors):
        return prepared(vectors[rows], metric, "item vectors")
    distinct, places = np.unique(rows, return_inverse=True)
    return prepared(vectors[distinct], metric, "item vectors")[places]


def _ordered(scores: FloatArray, rows: IntArray, k: int) -> SearchResult:
    if scores.shape[1] == k and (scores[:, 1:] < scores[:, :-1]).all():
        return SearchResult(scores, rows)
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    filled_scores = np.full((len(rows), k), -np.inf, np.float32)
    filled_rows = np.full((len(rows), k), -1, np.int64)
    filled_scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    filled_rows[:, : order.shape[1]] = np.take_along_axis(rows, order, axis=1)
    return SearchResult(filled_scores, filled_rows)
