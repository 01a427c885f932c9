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
def codebook_training() -> Iterator[None]:
    """Learns the many small codebooks of a product quantization in a fraction of the time, on one thread and by matrix products.

    Left alone FAISS compares batches of less than some 100,000 vectors one by one (fifteen times as slow), and on a machine that
    does other work its threads spend the time waiting for each other (5000 x 384 on 2 busy cores: 43 s on two threads, 1.2 on one).
    """
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 20
    try:
        with single_thread():
            yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before
