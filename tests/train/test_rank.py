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
from tt_hydra.train.rank import FIRST_RANK, LOCAL_RANK, is_follower

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
