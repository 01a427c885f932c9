"""Builds candidates over one catalogue, with parts that they share, and says beforehand how long a build will take."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np

from tt_hydra.contracts import FloatArray, Metric
from tt_hydra.index.build import build_index
from tt_hydra.index.made import Made
from tt_hydra.index.storage import bytes_on_disk
from tt_hydra.index.threads import single_thread
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.effort import Effort, effort
from tt_hydra.index.tune.judge import Built

SAMPLED = 2048
"""Rows of a sample build."""
UNEVEN = ("graph", "product", "rotation")
"""Kinds of work that a sample build foretells; the others are matrix products of a known speed."""
TELLING = 0.02
"""Estimated seconds below which what a build takes is overhead and foretells nothing."""
BUSY = 2.0
"""Processes waiting for each core from which on a machine is busy."""
WORTH_A_SAMPLE = 2.0
"""Estimated seconds from which on a first build of its kind is tried on a sample."""


class Workshop:
    """Builds over the rows of ``vectors``.

    Args:
        vectors: ``(items, dim)``, possibly memory-mapped.
        metric: similarity.
        seed: of everything random.
        scratch: folder for files that are written to be measured.
        vectors_file: file of the vectors, which indexes that rescore are read together with.
    """

    def __init__(self, vectors: FloatArray, metric: Metric, seed: int, scratch: Path, vectors_file: Path) -> None:
        self.vectors, self.metric, self.seed = vectors, metric, seed
        self._scratch, self._file = scratch, vectors_file
        self._made = Made()
        self._factor: dict[str, float] = {}
        self._shared: set[object] = set()

    def build(self, candidate: Candidate) -> Built:
        """The candidate's index, and what it takes; ``build_s`` counts shared parts as if it were alone."""
        borrowed, started = self._made.borrowed_s, time.perf_counter()
        with quietly(), undisturbed():
            index = build_index(
                candidate.spec, candidate.quantization, self.vectors, self.metric,
                seed=self.seed, prefix_dim=candidate.prefix_dim, made=self._made,
            )  # fmt: skip
        seconds = time.perf_counter() - started + self._made.borrowed_s - borrowed
        self._learn(effort(candidate, *self.vectors.shape), seconds)
        self._shared.add(candidate.shares)
        with tempfile.TemporaryDirectory(dir=self._scratch) as name:
            index.save(Path(name))
            size = bytes_on_disk(Path(name), self._file)
        return Built(candidate, index, seconds, size / index.size)

    def memory(self, built: Built, resident: Callable[[Path], float | None]) -> float | None:
        """Bytes an item that ``resident`` finds for the files of the built index."""
        if built.index is None:
            return None
        with tempfile.TemporaryDirectory(dir=self._scratch) as name:
            built.index.save(Path(name))
            found = resident(Path(name))
        return None if found is None else found / built.index.size

    def seconds(self, candidate: Candidate) -> float:
        """How long a build from nothing will take, about."""
        expected = effort(candidate, *self.vectors.shape)
        unknown = expected.kind in UNEVEN and expected.kind not in self._factor
        if unknown and expected.seconds > WORTH_A_SAMPLE and len(self.vectors) > 2 * SAMPLED:
            self._try_sample(candidate)
        return expected.seconds * self._factor.get(expected.kind, 1.0)

    def remaining(self, candidate: Candidate) -> float:
        """How long a build will take with the parts that were made for others."""
        return self.seconds(candidate.codes_only if candidate.shares in self._shared else candidate)

    def _try_sample(self, candidate: Candidate) -> None:
        rows = np.linspace(0, len(self.vectors) - 1, SAMPLED).astype(np.int64)
        sample = np.ascontiguousarray(self.vectors[rows])
        smaller = candidate.on(SAMPLED)
        started = time.perf_counter()
        with quietly():
            build_index(smaller.spec, smaller.quantization, sample, self.metric, seed=self.seed, prefix_dim=candidate.prefix_dim)
        self._learn(effort(smaller, *sample.shape), time.perf_counter() - started)

    def _learn(self, expected: Effort, seconds: float) -> None:
        if expected.seconds > TELLING:
            self._factor[expected.kind] = seconds / expected.seconds


def undisturbed() -> AbstractContextManager[None]:
    """One thread on a machine that is busy with other work, where several would spend their time waiting for each other."""
    busy = os.getloadavg()[0] > BUSY * (os.cpu_count() or 1) if hasattr(os, "getloadavg") else False
    return single_thread() if busy else nullcontext()


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps back what building says: of candidates nobody wants to hear it, and of the winner it is in the figures."""
    logger = logging.getLogger("tt_hydra.index")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
