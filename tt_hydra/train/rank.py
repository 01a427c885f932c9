"""The processes of one training: the first rank, which the user started, and its followers, which Lightning starts beside it.

A follower runs the same command line. It imports nothing heavy to find out that it is one.
"""

from __future__ import annotations

import os
import signal
import threading
import time

LOCAL_RANK = "LOCAL_RANK"
FIRST_RANK = "TT_HYDRA_FIRST_RANK"
"""Environment variable with the process id of the first rank."""
_LOOK_EVERY_SECONDS = 0.5


def is_follower() -> bool:
    """Whether this process was started to train beside a first one: it trains, and does nothing else."""
    return int(os.environ.get(LOCAL_RANK, "0")) > 0


def lead() -> None:
    """Lets the processes that this one will start know whom they follow."""
    os.environ[FIRST_RANK] = str(os.getpid())


def follow() -> None:
    """Ties a follower to the first rank: it ends with it, however that ends, and leaves signals to it.

    Ctrl-C goes to all processes of a terminal. If a follower answered it, the first rank would wait for it in vain.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    first = int(os.environ.get(FIRST_RANK, os.getppid()))
    threading.Thread(target=_end_with, args=(first,), daemon=True, name="first-rank-observer").start()


def _end_with(process: int) -> None:
    while os.getppid() == process:
        time.sleep(_LOOK_EVERY_SECONDS)
    os._exit(1)
