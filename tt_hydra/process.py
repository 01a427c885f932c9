"""The process that a command runs in: its signals, its environment, and its place among the processes of a training."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from tt_hydra.train.rank import FIRST_RANK, by_torchrun, end_with, follow, is_follower

TERMINATED = 143
"""Exit status after SIGTERM."""
GRID = "TT_HYDRA_GRID"
"""Environment variable with the process id of the grid that started this process for one of its jobs."""
WORKER = "TT_HYDRA_WORKER"
"""Environment variable with the number of a process that helps another with its study."""

UNDERSTOOD = "TT_HYDRA_UNDERSTOOD"
"""Environment variable of a process that was started with words for Hydra, rather than with what somebody typed."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which is answered as Ctrl-C is."""


def prepare() -> None:
    """Sets up what must be set before heavy libraries are loaded."""
    # A thread that spins while it waits stops a neighbour's work; on a shared machine that made a step ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # advice for the authors of a model, repeated by each process
    logging.raiseExceptions = False  # a full disk is told once, not with each line of the log
    if is_follower():
        follow()
    else:
        signal.signal(signal.SIGTERM, _terminate)
    if GRID in os.environ:
        end_with(int(os.environ.pop(GRID)))


def understood() -> bool:
    """Whether this process was started by one of ours, with words that were understood there: what must be quoted in them is quoted."""
    return UNDERSTOOD in os.environ or FIRST_RANK in os.environ


def run_job(command: Sequence[str]) -> int:
    """Runs one job of a grid as a process of its own, to its end.

    Ctrl-C and SIGTERM are handed on to it, once each, and its end is waited for: what it trained so far is not lost. It ends if this
    process is killed.

    Returns:
        Its exit status.
    """
    child = subprocess.Popen(command, env={**os.environ, **_child()}, process_group=0)
    stop: KeyboardInterrupt | None = None
    while True:
        try:
            status = child.wait()
            break
        except KeyboardInterrupt as interrupt:
            stop = interrupt
            child.send_signal(signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)
    if stop is not None:
        raise stop
    return status


class Helpers:
    """Processes that run this process's command line beside it while a ``with`` block lasts; its clean end waits for theirs.

    They end if this process is killed. Ctrl-C and SIGTERM are handed on to them.

    Args:
        count: how many.
        more: words after those of the command line.
        folder: where what they say is kept.
    """

    def __init__(self, count: int, more: Sequence[str], folder: Path) -> None:
        self._command = [sys.executable, "-m", "tt_hydra", *sys.argv[1:], *more]
        self._logs = [folder / f"worker_{number}.log" for number in range(1, count + 1)]
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Helpers:
        for number, path in enumerate(self._logs, start=1):
            environment = {**os.environ, **_child(), WORKER: str(number)}
            with path.open("ab") as log:
                self._children.append(subprocess.Popen(self._command, env=environment, stdout=log, stderr=log, process_group=0))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._stop(error)
        try:
            for child in self._children:
                child.wait()
        except KeyboardInterrupt as interrupt:
            self._stop(interrupt)
            for child in self._children:
                child.wait()
            raise

    def _stop(self, error: BaseException) -> None:
        for child in self._children:
            child.send_signal(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def quieten_follower() -> None:
    """Lets a follower, which would repeat what the first rank says, show errors alone and keep no log of its own."""
    if not is_follower():
        return
    root = logging.getLogger()
    root.setLevel(logging.ERROR)
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
            Path(handler.baseFilename).unlink(missing_ok=True)


@contextmanager
def own_folder() -> Iterator[list[str]]:
    """Overrides for Hydra by which a follower leaves no folder of its own; one that Lightning started is told by Lightning."""
    if not (is_follower() and by_torchrun()):
        yield []
        return
    folder = tempfile.mkdtemp(prefix="tt_hydra_")
    try:
        yield [f"hydra.run.dir={folder}", "hydra.output_subdir=null"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _child() -> dict[str, str]:
    """What a process of this one's is told by its environment."""
    return {GRID: str(os.getpid()), UNDERSTOOD: "1"}


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Terminated
