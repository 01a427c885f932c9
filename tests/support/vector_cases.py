"""Vectors as two towers give them (low rank, norms that differ, repeats, a zero) and every sensible index over them."""

from __future__ import annotations

import numpy as np

from tt_hydra.index.factory import Factory
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq
from tt_hydra.quantization.scalar import Scalar

SIZE, DIM, QUERIES = 700, 24, 40
SPECS = {"flat": Flat(), "ivf": Ivf(nprobe=8), "hnsw": Hnsw(M=16, efConstruction=80, efSearch=64)}
QUANTIZATIONS = {
    "none": NoQuantization(),
    "fp16": Fp16(),
    "int8": Int8(),
    "scalar": Scalar(bits=6),
    "pca": Pca(dim=16),
    "pca_int8": Pca(dim=16, store="int8"),
    "pq": Pq(m=12, bits=6),
    "opq": Opq(m=12, bits=6, iterations=3),
    "binary": Binary(),
    "pq_refined": Pq(m=6, bits=6, refine=10),
}
STRINGS = [
    "HNSW16,Flat",
    "HNSW16_SQ8",
    "IVF8,PQ12x6",
    "PQ12x6",
    "PCA16,IVF8,Flat",
    "IVF8,Flat,RFlat",
    "PQ12x4fs",
    "IVF8_HNSW8,SQ8",
    "IVF8,RQ3x5",
    "NSG16,Flat",
]
PAIRS = {
    **{f"{index}-{codes}": (spec, quantization) for index, spec in SPECS.items() for codes, quantization in QUANTIZATIONS.items()},
    **{f"factory-{text}": (Factory(spec=text), NoQuantization()) for text in STRINGS},
}


def catalogue(size: int = SIZE, dim: int = DIM, rank: int = 12, spread: float = 0.4, seed: int = 0) -> np.ndarray:
    """Item vectors: rank ``rank`` and noise, lognormal norms; row 5 is zero, rows 10 to 12 are equal."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(size, rank)) @ _basis(rank, dim) + 0.2 * generator.normal(size=(size, dim))
    vectors *= np.exp(spread * generator.normal(size=(size, 1))) / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0
    vectors[11:13] = vectors[10]
    return vectors.astype(np.float32)


def questions(count: int = QUERIES, dim: int = DIM, rank: int = 12, seed: int = 1) -> np.ndarray:
    """Query vectors from the space that the items span."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, rank)) @ _basis(rank, dim)).astype(np.float32)


def similarities(queries: np.ndarray, items: np.ndarray, metric: str) -> np.ndarray:
    """All scores, by the definition of the metric, in float64."""
    wide_queries, wide_items = queries.astype(np.float64), items.astype(np.float64)
    scores = wide_queries @ wide_items.T
    if metric == "cosine":
        norms = np.linalg.norm(wide_queries, axis=1)[:, None] * np.linalg.norm(wide_items, axis=1)[None, :]
        scores = np.divide(scores, norms, out=np.zeros_like(scores), where=norms > 0)
    return scores


def recall(rows: np.ndarray, scores: np.ndarray) -> float:
    """Share of each query's rows whose true score reaches the k-th best true score; ``scores`` is (queries, items)."""
    k = rows.shape[1]
    threshold = np.sort(scores, axis=1)[:, -k] - 1e-5 * np.abs(scores).max(axis=1)
    return float((np.take_along_axis(scores, rows, axis=1) >= threshold[:, None]).mean())


def _basis(rank: int, dim: int) -> np.ndarray:
    return np.random.default_rng(99).normal(size=(rank, dim))
