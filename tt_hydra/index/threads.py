"""Process-wide settings of FAISS, changed only inside a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import faiss


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Runs FAISS with ``number`` threads inside the block."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def single_thread() -> AbstractContextManager[None]:
    """Runs FAISS with one thread inside the block, as latency is measured and served."""
    return threads(1)


@contextmanager
def matrix_distances() -> Iterator[None]:
    """Makes FAISS compare batches by matrix products inside the block.

    Left alone it compares batches of less than some 100,000 vectors one by one, which makes learning the small codebooks of a
    product quantization fifteen times as slow.
    """
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 20
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before
