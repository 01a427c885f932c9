"""Requests that wait for the query tower together are answered together."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tt_hydra.errors import TTHydraError
from tt_hydra.index.threads import threads
from tt_hydra.serve.asking import Answer, Ask

Done = Callable[[Answer | Exception], None]

logger = logging.getLogger(__name__)


class Busy(TTHydraError):
    """Too many requests wait already."""


class Late(TTHydraError):
    """A request waited longer than it may take."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    ask: Ask
    done: Done
    deadline: float
    asked: float


class Batcher:
    """Worker threads that take what waits.

    While a worker is busy requests gather; the next run takes them all, up to ``size`` queries. A delay waits for more even where
    nothing is busy.

    Args:
        answer: answers requests together; from several threads at once where there are several workers.
        size: queries of a run, unless one request alone holds more.
        delay: seconds.
        waiting: requests that may wait.
        workers: threads.
        omp: threads that a search or a tower may use within a worker.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Ask]], Sequence[Answer | Exception]],
        *,
        size: int,
        delay: float,
        waiting: int,
        workers: int,
        omp: int,
    ) -> None:
        self._answer, self._size, self._delay, self._most, self._omp = answer, size, delay, waiting, omp
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._threads = [threading.Thread(target=self._work, name=f"search-{number}", daemon=True) for number in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait or are being answered."""
        return self._count

    def submit(self, ask: Ask, done: Done, timeout: float) -> None:
        """Hands a request over; ``done`` is called from a worker's thread with its answer or error.

        Raises:
            Busy: too many wait.
        """
        with self._lock:
            if self._count >= self._most:
                raise Busy(f"{self._most} requests wait already: ask again in a second")
            self._count += 1
        now = time.perf_counter()
        self._queue.put(_Waiting(ask, done, now + timeout, now))

    def close(self) -> None:
        """Answers what waits, and ends the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        with threads(self._omp):
            while (first := self._queue.get()) is not None:
                taken, ended = self._gather(first)
                self._serve(taken)
                if ended:
                    return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """What waits, up to the size; and whether the end was among it."""
        taken, rows, until = [first], len(first.ask.queries), first.asked + self._delay
        while rows < self._size:
            try:
                left = until - time.perf_counter() if self._delay else 0.0
                following = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return taken, True
            taken.append(following)
            rows += len(following.ask.queries)
        return taken, False

    def _serve(self, taken: Sequence[_Waiting]) -> None:
        now = time.perf_counter()
        late = [each for each in taken if each.deadline < now]
        live = [each for each in taken if each.deadline >= now]
        outcomes: Sequence[Answer | Exception] = []
        if live:
            try:
                outcomes = self._answer([each.ask for each in live])
            except Exception as error:
                logger.exception("a batch of %d requests failed", len(live))
                outcomes = [error] * len(live)
        with self._lock:
            self._count -= len(taken)
        for each, outcome in zip(live, outcomes, strict=True):
            each.done(outcome)
        for each in late:
            each.done(Late("the request waited longer than it may take"))
