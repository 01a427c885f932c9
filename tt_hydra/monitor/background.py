"""Work that may be late or left out, in a thread that yields to everything else."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from tt_hydra.index.threads import single_thread

LOWEST = 19
"""Niceness of the thread, where the system has one for each thread."""
PATIENCE = 5.0
"""Seconds that an end waits for the job that is being done."""

logger = logging.getLogger(__name__)


class Background:
    """Does one job after the other; a job that comes while too many wait is refused."""

    def __init__(self, name: str, waiting: int) -> None:
        self._jobs: queue.Queue[Callable[[], object] | None] = queue.Queue(waiting)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, job: Callable[[], object]) -> bool:
        """Takes a job, or says at once that it does not."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return not self._closing.is_set()

    def wait(self, seconds: float = PATIENCE) -> bool:
        """Waits until what was taken so far is done; False where it takes longer."""
        done = threading.Event()
        try:
            self._jobs.put(done.set, timeout=seconds)
        except queue.Full:
            return False
        return done.wait(seconds)

    def close(self) -> None:
        """Ends after the job that is being done; those that wait are left out."""
        self._closing.set()
        with suppress(queue.Full):  # the thread looks at the event after each job
            self._jobs.put_nowait(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        yield_to_others()
        with single_thread():
            while (job := self._jobs.get()) is not None and not self._closing.is_set():
                try:
                    job()
                except Exception:
                    logger.exception("%s: a job failed and is left out", threading.current_thread().name)


def yield_to_others() -> None:
    """Gives the calling thread the lowest priority, where the system has one for each thread."""
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
        except OSError as error:
            logger.debug("the priority of %s stays: %s", threading.current_thread().name, error)
