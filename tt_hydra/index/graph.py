"""Graphs: built on full vectors, searched over codes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import faiss
import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, IntArray
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.threads import threads

logger = logging.getLogger(__name__)

ROWS = 65_536
"""Rows whose neighbours are looked at together."""
TOLERATED = 0.05
"""Share of unreachable items that is not worth a warning: with inner products, items of small norm that are nobody's best result."""


def empty_graph(spec: Hnsw, dim: int, seed: int) -> faiss.IndexHNSWFlat:
    """An empty graph over ``dim`` dimensions."""
    index = faiss.IndexHNSWFlat(dim, spec.M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = spec.efConstruction
    index.hnsw.rng = faiss.RandomGenerator(seed)
    return index


def insert(index: faiss.IndexHNSWFlat, vectors: FloatArray, spec: Hnsw) -> None:
    """Adds ``vectors (rows, dim)``: with one thread the graph depends on nothing but the vectors and the seed."""
    with threads(spec.threads):
        index.add(vectors)


def replace_storage(index: faiss.IndexHNSWFlat, codes: faiss.Index) -> None:
    """Gives a finished graph other codes of the same rows to compare; the full vectors are freed."""
    full = faiss.downcast_index(index.storage)
    codes.this.disown()
    index.storage = codes
    full.this.own(True)


def warn_unreachable(index: faiss.IndexHNSWFlat) -> None:
    """Logs how many rows no walk over the lowest layer reaches: with items of very unequal norms these can be many."""
    lost = index.ntotal - len(reachable(index))
    if lost > TOLERATED * index.ntotal:
        logger.warning(
            "%d of %d items (%.2f%%) are not reachable in the graph and are found only by exhaustive search: "
            "raise index.M or index.efConstruction, or use metric=cosine or index=ivf",
            lost, index.ntotal, 100 * lost / index.ntotal,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Layer:
    """The lowest layer of a graph.

    Attributes:
        offsets: ``(rows,)`` where each row's neighbours begin.
        neighbours: of all rows, -1 where a row has fewer than ``width``.
        width: neighbours of a row, at most.
        above: ``(rows,)`` bool, rows of an upper layer and the entry point: where walks over this one begin.
    """

    offsets: IntArray
    neighbours: IntArray
    width: int
    above: BoolArray

    @classmethod
    def of(cls, index: faiss.IndexHNSW) -> _Layer:
        graph = index.hnsw
        above = faiss.vector_to_array(graph.levels) > 1
        above[graph.entry_point] = True
        offsets = faiss.vector_to_array(graph.offsets).astype(np.int64)[:-1]
        return cls(offsets, faiss.vector_to_array(graph.neighbors), graph.nb_neighbors(0), above)

    def linked(self, rows: IntArray | slice) -> IntArray:
        """Neighbours of some rows, ``(rows, width)``."""
        found: IntArray = self.neighbours[self.offsets[rows, None] + np.arange(self.width)]
        return found


def reachable(index: faiss.IndexHNSWFlat) -> IntArray:
    """Rows that the lowest layer connects to the entry point or to a row of an upper layer."""
    layer = _Layer.of(index)
    seen = layer.above
    frontier = np.flatnonzero(seen)
    while len(frontier):
        linked = np.unique(layer.linked(frontier))
        frontier = linked[(linked >= 0) & ~seen[linked]]
        seen[frontier] = True
    return np.flatnonzero(seen)


def orphans(index: faiss.IndexHNSW) -> IntArray:
    """Rows that no row of the lowest layer has as a neighbour, and that stand in no other layer: no walk comes by them."""
    layer = _Layer.of(index)
    known = layer.above
    for start in range(0, len(known), ROWS):
        linked = layer.linked(slice(start, start + ROWS))
        known[linked[linked >= 0]] = True
    return np.flatnonzero(~known)
