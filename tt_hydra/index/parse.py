"""FAISS factory strings: parsed before any work, built with the traps of the plain factory removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import faiss
import numpy as np

from tt_hydra.contracts import FloatArray
from tt_hydra.errors import IndexSpecError
from tt_hydra.index.factory import Factory
from tt_hydra.index.lists import SAMPLE, SAMPLE_PER_LIST
from tt_hydra.index.structure import core, parts
from tt_hydra.index.threads import codebook_training, single_thread
from tt_hydra.index.transform import quiet, train_rotation
from tt_hydra.index.vectors import Rows
from tt_hydra.quantization.pq import resolve_bits

UNKNOWN_DIM = 3840
"""Stands for a dimension that is not known yet: divisible by most numbers of sub-vectors."""


def check_string(spec: Factory, dim: int | None, size: int | None) -> None:
    """Checks that FAISS understands the string, for inner products, and that ``size`` vectors can train it.

    Raises:
        IndexSpecError: it does not, or they cannot.
    """
    index = _parse(spec.spec, dim or UNKNOWN_DIM)
    if any(isinstance(part, faiss.IndexIDMap) for part in parts(index)):
        raise IndexSpecError(f"index.spec={spec.spec!r} has an IDMap, but rows are numbered here: remove IDMap from the string")
    kernel = core(index)
    if kernel.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise IndexSpecError(
            f"index.spec={spec.spec!r} ranks by Euclidean distance whatever metric it is given: choose another string, "
            "or index=hnsw quantization=pq for a graph over product codes"
        )
    needed = max(_trained_centroids(index))
    if size is not None and size < needed:
        raise IndexSpecError(f"index.spec={spec.spec!r} needs at least {needed} vectors to train, got {size}: use fewer lists or bits")
    if isinstance(kernel, faiss.IndexIVF) and spec.nprobe is not None and spec.nprobe > kernel.nlist:
        raise IndexSpecError(f"index.nprobe={spec.nprobe} is more than the {kernel.nlist} lists: the nearest possible is {kernel.nlist}")


def build_string(spec: Factory, rows: Rows, seed: int) -> faiss.Index:
    """Trains and fills the index that the string names; strings with a graph on one thread, so that it is the same every time."""
    index = _parse(spec.spec, rows.dim)
    kernel = core(index)
    _simplify(kernel)
    nlist = kernel.nlist if isinstance(kernel, faiss.IndexIVF) else 0
    sample = rows.sample(max(SAMPLE, SAMPLE_PER_LIST * nlist), seed)
    if nlist:
        kernel.cp.seed = seed
    with single_thread() if "HNSW" in spec.spec or "NSG" in spec.spec else nullcontext():
        _train_transforms(index, sample)
        with codebook_training() if "PQ" in spec.spec else nullcontext():
            index.train(sample)
        for chunk in [np.concatenate(list(rows.chunks()))] if "NSG" in spec.spec else rows.chunks():
            index.add(chunk)
    return index


def _parse(text: str, dim: int) -> faiss.Index:
    try:
        return faiss.index_factory(dim, text, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2] or str(error)
        raise IndexSpecError(
            f"index.spec={text!r} is no FAISS factory string for inner products of {dim} dimensions: {reason.strip()}; "
            "examples: 'Flat', 'IVF256,SQ8', 'HNSW32', 'OPQ16_64,IVF256,PQ16'"
        ) from error


def _trained_centroids(index: faiss.Index) -> Iterator[int]:
    yield 1
    for part in parts(index):
        if isinstance(part, faiss.IndexIVF):
            yield part.nlist
        store = faiss.downcast_index(part.storage) if isinstance(part, faiss.IndexHNSW) else part
        if hasattr(store, "pq"):
            yield 2**store.pq.nbits


def _simplify(kernel: faiss.Index) -> None:
    """Leaves out of training what no search here uses, and warnings that the log has in better words."""
    if hasattr(kernel, "do_polysemous_training"):
        kernel.do_polysemous_training = False
    store = faiss.downcast_index(kernel.storage) if isinstance(kernel, faiss.IndexHNSW) else kernel
    for owner in (kernel, getattr(store, "pq", kernel)):
        if hasattr(owner, "cp"):
            quiet(owner.cp)


def _train_transforms(index: faiss.Index, sample: FloatArray) -> None:
    """Trains the transforms and takes the mean out of PCA: subtracted on both sides, it would change the ranking."""
    for part in parts(index):
        if not isinstance(part, faiss.IndexPreTransform):
            continue
        for position in range(part.chain.size()):
            transform = faiss.downcast_VectorTransform(part.chain.at(position))
            if isinstance(transform, faiss.OPQMatrix):
                train_rotation(transform, sample, resolve_bits(None, len(sample)))
            else:
                transform.train(sample)
            if isinstance(transform, faiss.PCAMatrix):
                faiss.copy_array_to_vector(np.zeros(transform.d_out, np.float32), transform.b)
            sample = transform.apply(sample)
