"""How many threads FAISS uses: a process-wide setting, changed only inside a block."""

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
