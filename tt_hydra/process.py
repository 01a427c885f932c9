"""The process that a command runs in: its signals, its environment, and its place among the processes of a training."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from types import FrameType

from tt_hydra.train.rank import follow, is_follower

TERMINATED = 143
"""Exit status after SIGTERM."""


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


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Terminated
