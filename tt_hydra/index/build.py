"""Building an index: check, train on a seeded sample, add, wrap."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import faiss
import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import FloatArray, Metric
from tt_hydra.index.check import IndexSpec, Quantization, check_pair, check_prefix
from tt_hydra.index.codes import Codes
from tt_hydra.index.factory import Factory
from tt_hydra.index.faiss_index import FaissIndex, Header
from tt_hydra.index.graph import empty_graph, insert, replace_storage, warn_unreachable
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.lists import SAMPLE, SAMPLE_PER_LIST, assign_by_similarity, centroids_of, distance_quantizer
from tt_hydra.index.made import Made
from tt_hydra.index.parse import build_string
from tt_hydra.index.structure import search_defaults
from tt_hydra.index.threads import codebook_training
from tt_hydra.index.transform import product_rotation, projection, random_rotation, rotated_projection
from tt_hydra.index.vectors import Rows
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq, resolve_bits


def build_index(
    spec: IndexSpec,
    quantization: Quantization,
    vectors: npt.NDArray[np.generic],
    metric: Metric,
    *,
    seed: int = 0,
    prefix_dim: int | None = None,
    made: Made | None = None,
) -> FaissIndex:
    """Builds an index over the rows of a matrix; the same arguments give the same index on the same machine.

    Args:
        spec: kind of index.
        quantization: how it stores vectors.
        vectors: ``(items, dim)`` numbers, possibly memory-mapped, normalised or not. Kept by reference (never copied) for exact
            rescoring.
        metric: similarity that is searched for and that scores are.
        seed: of training samples, clusters, rotations and graph layers.
        prefix_dim: how many of the first dimensions the index keeps, brought to length 1 again under cosine, for vectors whose prefixes
            were trained (Matryoshka); None for all. It takes full queries all the same, and rescores with the full vectors.
        made: parts of other indexes over these very vectors, metric and seed, used again and added to; None for none.

    Raises:
        IndexSpecError: the vectors are empty or not finite, or the pair cannot be built on them; before any training.
    """
    full = Rows(vectors, metric)
    check_prefix(prefix_dim, full.dim)
    rows = full if prefix_dim is None else Rows(vectors[:, :prefix_dim], metric)
    check_pair(spec, quantization, rows.dim, rows.size)
    made = Made(kept=False) if made is None else made
    index = build_string(spec, rows, seed) if isinstance(spec, Factory) else _build(spec, quantization, rows, seed, made)
    parameters = search_defaults(spec, quantization, index)
    if prefix_dim is not None:
        parameters.setdefault("refine", 0)
    return FaissIndex(index, Header(spec, quantization, metric, full.dim, full.size, parameters, prefix_dim), vectors)


@dataclass(frozen=True, slots=True)
class _Source:
    """The vectors as the store behind the transform sees them; ``key`` tells them from those behind another one."""

    rows: Rows
    transform: faiss.VectorTransform | None
    seed: int
    key: Hashable
    made: Made

    def sample(self, size: int) -> FloatArray:
        return self._transformed(self.rows.sample(size, self.seed))

    def chunks(self) -> Iterator[FloatArray]:
        return map(self._transformed, self.rows.chunks())

    def _transformed(self, vectors: FloatArray) -> FloatArray:
        return vectors if self.transform is None else self.transform.apply(vectors)


def _build(spec: IndexSpec, quantization: Quantization, rows: Rows, seed: int, made: Made) -> faiss.Index:
    m, bits = 0, 0
    if isinstance(quantization, Pq | Opq):
        m, bits = quantization.resolve_m(rows.dim), resolve_bits(quantization.bits, rows.size)
    key = (rows.dim, replace(quantization, refine=0)) if isinstance(quantization, Pca | Opq | Binary) else rows.dim
    transform = made.part(("transform", key), lambda: _transform(quantization, m, bits, rows, seed))
    codes = Codes(quantization, rows.dim if transform is None else transform.d_out, m, bits)
    source = _Source(rows, transform, seed, key, made)
    match spec:
        case Hnsw():
            index = _graph(spec, codes, source)
        case Ivf():
            index = _lists(spec.resolve_nlist(rows.size), codes, source)
        case _:
            index = _in_order(codes, source)
    return index if transform is None else faiss.IndexPreTransform(transform, index)


def _transform(quantization: Quantization, m: int, bits: int, rows: Rows, seed: int) -> faiss.VectorTransform | None:
    match quantization:
        case Pca(store="int8"):
            return rotated_projection(rows.sample(SAMPLE, seed), quantization.resolve(rows.dim), seed)
        case Pca():
            return projection(rows.sample(SAMPLE, seed), quantization.resolve(rows.dim))
        case Opq():
            return product_rotation(rows.sample(SAMPLE, seed), m, bits, quantization.iterations)
        case Binary():
            return random_rotation(rows.dim, seed)
    return None


def _in_order(codes: Codes, source: _Source) -> faiss.Index:
    if codes.m:
        return _lists(1, codes, source)  # a plain product quantization index refuses to search among allowed rows only
    return _fill(codes.in_order(), source, SAMPLE)


def _fill(index: faiss.Index, source: _Source, sample: int) -> faiss.Index:
    if not index.is_trained:
        with codebook_training():
            index.train(source.sample(sample))
    for chunk in source.chunks():
        index.add(chunk)
    return index


def _lists(nlist: int, codes: Codes, source: _Source) -> faiss.IndexIVF:
    sample = max(SAMPLE, SAMPLE_PER_LIST * nlist)
    centroids = source.made.part(
        ("centroids", source.key, nlist), lambda: centroids_of(source.sample(sample), nlist, source.rows.metric, source.seed)
    )
    quantizer = distance_quantizer(centroids)
    return assign_by_similarity(_fill(codes.in_lists(quantizer, nlist), source, sample), centroids)


def _graph(spec: Hnsw, codes: Codes, source: _Source) -> faiss.Index:
    key = ("graph", source.key, replace(spec, efSearch=1))
    graph = source.made.part(key, lambda: _links(spec, codes.dim, source))
    if isinstance(codes.quantization, NoQuantization) or (isinstance(codes.quantization, Pca) and codes.quantization.store == "none"):
        return graph
    graph = faiss.clone_index(graph) if source.made.kept else graph
    replace_storage(graph, _fill(codes.in_order(), source, SAMPLE))
    return graph


def _links(spec: Hnsw, dim: int, source: _Source) -> faiss.IndexHNSWFlat:
    graph = empty_graph(spec, dim, source.seed)
    for chunk in source.chunks():
        insert(graph, chunk, spec)
    warn_unreachable(graph)
    return graph
