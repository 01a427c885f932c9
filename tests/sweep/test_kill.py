"""Processes of a study that are killed: no trial is lost, none that was finished is run again, no number is given twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_study import drive, plan

from tt_hydra.config.paths import PACKAGE

SCRIPT = Path(__file__).resolve().parent.parent / "support" / "fake_study.py"
SECONDS = 0.3
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that works on the study of a folder."""
    started: list[subprocess.Popen[str]] = []

    def start(trials: int, seconds: float = SECONDS) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        command = [sys.executable, str(SCRIPT), str(tmp_path), str(trials), str(seconds)]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def begins(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "starts\n"


def ends(process: subprocess.Popen[str]) -> None:
    out, _ = process.communicate(timeout=120)
    assert out.splitlines()[-1] == "ended"


def ended(folder: Path) -> list[list[str]]:
    path = folder / "ended"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def require_sound(folder: Path, trials: int, kills: int) -> None:
    """Every trial is complete under a number of its own; only one that was killed before its end was told ran more than once."""
    record = drive(plan(folder, n_trials=trials)).record()
    assert [(trial.number, trial.state) for trial in record.trials] == [(number, "complete") for number in range(trials)]
    runs = Counter(number for number, _ in ended(folder))
    assert set(runs) == {str(number) for number in range(trials)}
    assert sum(runs.values()) - trials <= kills
    assert len({told for _, told in ended(folder)}) == trials
    undisturbed = drive(plan(folder / "undisturbed", n_trials=trials)).record()
    assert [trial.params for trial in record.trials] == [trial.params for trial in undisturbed.trials]


def killed_at_random(start: Start, folder: Path, kills: int, trials: int) -> None:
    chance = random.Random(kills)
    for _ in range(kills):
        process = start(trials)
        begins(process)
        time.sleep(chance.uniform(0.0, 2.5 * SECONDS))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ends(start(trials))
    require_sound(folder, trials, kills)


def test_killed_twice(start: Start, tmp_path: Path) -> None:
    killed_at_random(start, tmp_path, kills=2, trials=4)


@pytest.mark.slow
def test_killed_at_ten_random_moments(start: Start, tmp_path: Path) -> None:
    killed_at_random(start, tmp_path, kills=10, trials=12)


@pytest.mark.slow
def test_one_of_three_workers_is_killed(start: Start, tmp_path: Path) -> None:
    workers = [start(15) for _ in range(3)]
    for worker in workers:
        begins(worker)
    deadline = time.monotonic() + 60
    while len(ended(tmp_path)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers[1].send_signal(signal.SIGKILL)
    for worker in (workers[0], workers[2]):
        ends(worker)
    require_sound(tmp_path, 15, kills=1)
