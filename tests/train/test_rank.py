"""Followers of a first rank, as light processes that do nothing but follow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from commands import ends_soon, is_alive

from tt_hydra.config.paths import PACKAGE
from tt_hydra.errors import ConfigError
from tt_hydra.train.rank import FIRST_RANK, LOCAL_RANK, TORCHRUN, is_follower, nodes

FOLLOWER = "from tt_hydra.train.rank import follow; import time; follow(); print('follows', flush=True); time.sleep(60)"
FIRST = f"""
import os, subprocess, sys, time
from tt_hydra.train.rank import lead
lead()
print(subprocess.Popen([sys.executable, "-c", {FOLLOWER!r}]).pid, flush=True)
time.sleep(60)
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python with a few lines of code; nothing of it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, **environment: str) -> subprocess.Popen[str]:
        path = {"PYTHONPATH": str(PACKAGE.parent)}
        started.append(
            subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **path, **environment}, stdout=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_follower_ends_with_the_first_rank_and_not_before(start: Start) -> None:
    first = start(FIRST)
    follower = int(line_of(first))
    assert line_of(first) == "follows"
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(follower, number)
    time.sleep(0.2)
    assert is_alive(follower), "signals are the first rank's to answer"
    first.kill()
    first.wait()
    assert ends_soon(follower)


def test_a_follower_whose_first_rank_is_gone_already_ends_at_once(start: Start) -> None:
    gone = start("pass")
    gone.wait()
    assert start(FOLLOWER, **{FIRST_RANK: str(gone.pid)}).wait(timeout=30) == 1


def test_who_is_a_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_RANK, raising=False)
    assert not is_follower()
    for rank, expected in (("0", False), ("1", True), ("3", True)):
        monkeypatch.setenv(LOCAL_RANK, rank)
        assert is_follower() is expected


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The environment that torchrun gives a process."""

    def start(**values: int) -> None:
        for name, value in {TORCHRUN: "none", **values}.items():
            monkeypatch.setenv(name, str(value))

    return start


@pytest.mark.parametrize(("rank", "local_rank", "expected"), [(0, 0, False), (1, 1, True), (2, 0, True)])
def test_the_first_process_of_another_node_is_a_follower(torchrun: Callable[..., None], rank: int, local_rank: int, expected: bool) -> None:
    torchrun(RANK=rank, LOCAL_RANK=local_rank)
    assert is_follower() is expected


def test_how_many_nodes_train(torchrun: Callable[..., None]) -> None:
    assert nodes(3, None) == nodes(3, 1) == 1
    with pytest.raises(ConfigError, match=r"train\.num_nodes=2, but .* torchrun --nnodes 2 --node-rank R --nproc-per-node 3 "):
        nodes(3, 2)
    torchrun(WORLD_SIZE=6, LOCAL_WORLD_SIZE=3)
    assert nodes(3, None) == nodes(3, 2) == 2
    with pytest.raises(ConfigError, match=r"train\.devices=1, but torchrun started 3 .*set train\.devices=3, or .*--nproc-per-node 1"):
        nodes(1, None)
    with pytest.raises(ConfigError, match=r"train\.num_nodes=4 of train\.devices=3, but torchrun started 6 .*--nnodes 4"):
        nodes(3, 4)
