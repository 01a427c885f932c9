"""How often items come by, estimated from the batches as they pass: for data whose counts nobody can take beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import FloatArray, IntArray, TrainingView
from tt_hydra.negatives.frequency import log_presence, log_share

Frequency = Literal["exact", "streaming"]

HASHES = 4
LARGEST = 2**22
"""Cells of a hashed array at most: 32 MiB for its two halves."""
RATE = 0.02
"""Weight of the newest gap once an item was seen ``1 / RATE`` times; a shift of the distribution is forgotten in as many sightings."""


@runtime_checkable
class Observer(Protocol):
    """A fitted sampler that is to be told of the batches as they pass."""

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch, over all ranks; steps are counted from 1."""


class StreamingFrequency:
    """The average number of steps between two sightings of an item (Yi et al. 2019, algorithm 2).

    For each of several hash functions, ``last[h(item)]`` holds the step of the latest sighting and ``gap[h(item)]`` a moving average of
    the gaps. Items that share a cell make its gap too short, so the largest gap among the hash functions stands. One over the gap is the
    probability that a step holds the item. One thing differs from the paper: while a cell was seen fewer than ``1 / rate`` times, the
    average is the plain mean, so there is no starting value to forget.

    Args:
        num_items: size of the catalogue, which bounds the arrays.
        hashes: number of hash functions.
        cells: size of each array, a power of two; None for one that suits the catalogue.
        rate: weight of the newest gap.
        seed: of the hash functions.
    """

    def __init__(self, num_items: int, *, hashes: int = HASHES, cells: int | None = None, rate: float = RATE, seed: int = 0) -> None:
        size = cells or min(LARGEST, 2 ** int(np.ceil(np.log2(max(2, 2 * num_items)))))
        generator = np.random.default_rng(seed)
        self._factor = generator.integers(0, 2**63, (hashes, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._shift = np.uint64(64 - int(np.log2(size)))
        self._rate = rate
        self.step = 0
        self._size = 1
        self._last = np.zeros((hashes, size), np.int64)
        self._gap = np.zeros((hashes, size), np.float64)
        self._seen = np.zeros((hashes, size), np.int32)

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch; a step that was seen already, or an earlier one, changes nothing.

        Args:
            rows: catalogue rows, in any order, repeats allowed.
            step: number of the step, counted from 1.
        """
        if step <= self.step:
            return
        self.step, self._size = step, max(1, len(rows))
        for at, cells in enumerate(self._cells(np.unique(rows))):
            hit = np.unique(cells)
            self._seen[at, hit] += 1
            weight = np.maximum(self._rate, 1 / self._seen[at, hit])
            self._gap[at, hit] += weight * (step - self._last[at, hit] - self._gap[at, hit])
            self._last[at, hit] = step

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that each row is one of ``batch`` positives, which may be those of a part of a step or of several.

        An item that was never seen counts as if it came once in twice the time that has passed.
        """
        cells = self._cells(rows)
        at = np.arange(len(cells))[:, None]
        overdue = 2.0 * (self.step + 1)
        gap = np.where(self._seen[at, cells] > 0, self._gap[at, cells], overdue)
        in_a_step = -np.log(gap.max(axis=0, initial=1.0)).astype(np.float32)
        return log_presence(in_a_step, batch / self._size)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What a checkpoint keeps."""
        return {"step": np.array([self.step, self._size]), "last": self._last.copy(), "gap": self._gap.copy(), "seen": self._seen.copy()}

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Goes on from what ``state`` gave."""
        self.step, self._size = (int(value) for value in state["step"])
        self._last[:], self._gap[:], self._seen[:] = state["last"], state["gap"], state["seen"]

    def _cells(self, rows: IntArray) -> npt.NDArray[np.int64]:
        """``(hashes, rows)`` cell of each row: multiply and shift (Dietzfelbinger et al. 1997)."""
        return ((rows.astype(np.uint64)[None, :] * self._factor) >> self._shift).astype(np.int64)


@dataclass(frozen=True, slots=True)
class BatchFrequency:
    """How likely an item is to be a positive of a batch, by its counts or by what passed so far.

    Attributes:
        log_probability: ``(num_items,)`` log share of each item among the training positives.
        streaming: the estimate that stands in its place, or None.
    """

    log_probability: FloatArray
    streaming: StreamingFrequency | None = None

    @classmethod
    def of(cls, training: TrainingView, frequency: Frequency) -> BatchFrequency:
        """For a training part."""
        streaming = StreamingFrequency(training.num_items) if frequency == "streaming" else None
        return cls(log_share(training.counts), streaming)

    def observe(self, rows: IntArray, step: int) -> None:
        """Takes note of the positives of a step's whole batch."""
        if self.streaming is not None:
            self.streaming.observe(rows, step)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that each row is one of ``batch`` positives: it is held once, however often it is one."""
        if self.streaming is not None:
            return self.streaming.log_presence(rows, batch)
        return log_presence(self.log_probability[rows], batch)
