"""The processes of one training: the first rank, and its followers, which Lightning or torchrun starts beside it.

A follower runs the same command line. It imports nothing heavy to find out that it is one.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from tt_hydra.errors import ConfigError

LOCAL_RANK = "LOCAL_RANK"
TORCHRUN = "TORCHELASTIC_RUN_ID"
"""Environment variable of torchrun, which starts all ranks at once, on one node or on several."""
FIRST_RANK = "TT_HYDRA_FIRST_RANK"
"""Environment variable with the process id of the first rank."""
_LOOK_EVERY_SECONDS = 0.5


def is_follower() -> bool:
    """Whether this process was started to train beside a first one: it trains, and does nothing else."""
    return int(os.environ.get("RANK" if by_torchrun() else LOCAL_RANK, "0")) > 0


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return TORCHRUN in os.environ


def nodes(devices: int, num_nodes: int | None) -> int:
    """How many machines train.

    Args:
        devices: what each of them is told to use.
        num_nodes: how many the user wants; None for as many as torchrun started.

    Raises:
        ConfigError: torchrun started another number of processes, or was not used.
    """
    if not by_torchrun():
        if num_nodes not in (None, 1):
            command = f"torchrun --nnodes {num_nodes} --node-rank R --nproc-per-node {devices} --master-addr ADDRESS --master-port PORT"
            raise ConfigError(f"train.num_nodes={num_nodes}, but nothing else was started: on each node run {command} -m tt_hydra ...")
        return 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if devices != here:
        raise ConfigError(
            f"train.devices={devices}, but torchrun started {here} process(es) on this node: set train.devices={here}, or torchrun's "
            f"--nproc-per-node {devices}"
        )
    if num_nodes is not None and num_nodes * devices != everywhere:
        raise ConfigError(
            f"train.num_nodes={num_nodes} of train.devices={devices}, but torchrun started {everywhere} process(es) in all: leave "
            f"train.num_nodes out, or set torchrun's --nnodes {num_nodes}"
        )
    return everywhere // here


def lead() -> None:
    """Lets the processes that this one will start know whom they follow."""
    os.environ[FIRST_RANK] = str(os.getpid())


def follow() -> None:
    """Ties a follower to the process that started it: it ends with it, however that ends, and leaves signals to the first rank.

    Ctrl-C goes to all processes of a terminal. If a follower answered it, the first rank would wait for it in vain. Torchrun's signals
    are meant for each process: one that does not heed them is waited for in vain too.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL if by_torchrun() else signal.SIG_IGN)
    end_with(int(os.environ.get(FIRST_RANK, os.getppid())))


def end_with(parent: int) -> None:
    """Ends this process as soon as the process that started it is gone."""
    threading.Thread(target=_observe, args=(parent,), daemon=True, name="parent-observer").start()


def _observe(process: int) -> None:
    while os.getppid() == process:
        time.sleep(_LOOK_EVERY_SECONDS)
    os._exit(1)
