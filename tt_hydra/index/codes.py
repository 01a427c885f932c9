"""The FAISS stores of each quantization: one that keeps codes in row order, one that keeps them in inverted lists."""

from __future__ import annotations

from dataclasses import dataclass

import faiss

from tt_hydra.index.check import Quantization
from tt_hydra.index.transform import quiet
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq
from tt_hydra.quantization.scalar import Scalar

QUERY_BITS = 8
"""Bits of a query's dimensions in a binary index: as good as float and thirty times as fast."""


@dataclass(frozen=True, slots=True)
class Codes:
    """How vectors of ``dim`` dimensions (after the transform) are stored; ``m`` and ``bits`` of a product quantization, else 0."""

    quantization: Quantization
    dim: int
    m: int = 0
    bits: int = 0

    def in_order(self) -> faiss.Index:
        """An untrained store whose code ``i`` is row ``i``."""
        match self.quantization:
            case Fp16():
                return faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
            case Int8() | Pca(store="int8"):
                return faiss.IndexScalarQuantizer(self.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
            case Scalar():
                return faiss.IndexScalarQuantizer(self.dim, _few_bits(self.quantization), faiss.METRIC_INNER_PRODUCT)
            case Pq() | Opq():
                index = faiss.IndexPQ(self.dim, self.m, self.bits, faiss.METRIC_INNER_PRODUCT)
                quiet(index.pq.cp)
                return index
            case Binary():
                index = faiss.IndexRaBitQ(self.dim, faiss.METRIC_INNER_PRODUCT)
                index.qb = QUERY_BITS
                return index
        return faiss.IndexFlatIP(self.dim)

    def in_lists(self, quantizer: faiss.Index, nlist: int) -> faiss.IndexIVF:
        """An untrained store in the ``nlist`` lists of ``quantizer``."""
        shape = (quantizer, self.dim, nlist)
        metric = faiss.METRIC_INNER_PRODUCT
        match self.quantization:
            case Fp16():
                return faiss.IndexIVFScalarQuantizer(*shape, faiss.ScalarQuantizer.QT_fp16, metric)
            case Int8() | Pca(store="int8"):
                return faiss.IndexIVFScalarQuantizer(*shape, faiss.ScalarQuantizer.QT_8bit, metric)
            case Scalar():
                return faiss.IndexIVFScalarQuantizer(*shape, _few_bits(self.quantization), metric)
            case Pq() | Opq():
                index = faiss.IndexIVFPQ(*shape, self.m, self.bits, metric)
                quiet(index.pq.cp)
                return index
            case Binary():
                return faiss.IndexIVFRaBitQ(*shape, metric)
        return faiss.IndexIVFFlat(*shape, metric)


def _few_bits(quantization: Scalar) -> int:
    kinds = faiss.ScalarQuantizer
    return int(kinds.QT_6bit if quantization.bits == 6 else kinds.QT_4bit)
