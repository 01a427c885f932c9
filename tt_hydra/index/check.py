"""Which index goes with which quantization, and on which vectors: said before anything is trained."""

from __future__ import annotations

import logging

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.auto import Auto
from tt_hydra.index.factory import Factory
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import POINTS_PER_LIST, Ivf
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq, resolve_bits
from tt_hydra.quantization.scalar import Scalar

logger = logging.getLogger(__name__)

IndexSpec = Flat | Ivf | Hnsw | Factory
AnyIndex = IndexSpec | Auto
"""An index, or the order to find one."""
Quantization = NoQuantization | Fp16 | Int8 | Scalar | Pca | Pq | Opq | Binary


def check_pair(spec: AnyIndex, quantization: Quantization, dim: int | None, size: int | None) -> None:
    """Checks that the pair can be built on ``size`` vectors of ``dim`` dimensions; None where that is not known yet.

    Raises:
        IndexSpecError: it cannot: the reason, and the nearest choice that can.
    """
    if isinstance(spec, Factory):
        _check_factory(spec, quantization, dim, size)
    if isinstance(spec, Ivf) and size is not None:
        _check_lists(spec, size)
    if isinstance(quantization, Pca | Pq | Opq) and dim is not None:
        quantization.resolve(dim) if isinstance(quantization, Pca) else quantization.resolve_m(dim)
    if isinstance(quantization, Pq | Opq) and size is not None:
        _check_codes(quantization, size)


def check_prefix(prefix_dim: int | None, dim: int | None) -> None:
    """Checks that a prefix of ``prefix_dim`` dimensions can be cut from vectors of ``dim``; None where that is not known yet.

    Raises:
        IndexSpecError: it is not shorter than they are.
    """
    if prefix_dim is None:
        return
    if prefix_dim < 1:
        raise IndexSpecError(f"prefix_dim must be at least 1, or null for all dimensions; got {prefix_dim}")
    if dim is not None and prefix_dim >= dim:
        raise IndexSpecError(
            f"prefix_dim={prefix_dim} is no shorter than the vectors, which have {dim} dimensions: "
            f"allowed are 1 .. {dim - 1}, or null for all"
        )


def _check_lists(spec: Ivf, size: int) -> None:
    nlist = spec.resolve_nlist(size)
    if spec.nlist is not None and size < POINTS_PER_LIST * nlist:
        logger.warning(
            "index.nlist=%d leaves %.1f items a list, fewer than the %d that make a meaningful centroid: "
            "index.nlist=%d would do, null chooses",
            nlist, size / nlist, POINTS_PER_LIST, max(1, size // POINTS_PER_LIST),
        )  # fmt: skip
    if spec.nprobe is not None and spec.nprobe > nlist:
        logger.warning(
            "index.nprobe=%d is more than the %d lists that %d items give: a search visits all of them, and compares with every item",
            spec.nprobe, nlist, size,
        )  # fmt: skip


def _check_codes(quantization: Pq | Opq, size: int) -> None:
    centroids = 2 ** resolve_bits(quantization.bits, size)
    if size < POINTS_PER_LIST * centroids:
        logger.warning(
            "product quantization learns %d centroids a piece from %d vectors, fewer than the %d that they deserve: "
            "expect less recall, or take quantization=int8",
            centroids, size, POINTS_PER_LIST * centroids,
        )  # fmt: skip


def _check_factory(spec: Factory, quantization: Quantization, dim: int | None, size: int | None) -> None:
    if not isinstance(quantization, NoQuantization):
        raise IndexSpecError(
            f"index=factory names its own codes in index.spec={spec.spec!r}, but quantization={type(quantization).__name__.lower()} "
            "was chosen too: set quantization=none (and index.refine for rescoring), or choose index=flat, ivf or hnsw"
        )
    from tt_hydra.index.parse import check_string  # noqa: PLC0415

    check_string(spec, dim, size)
