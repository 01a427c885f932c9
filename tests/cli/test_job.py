"""A job of a grid as a process of its own: light processes stand for the grid and for the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from commands import ends_soon

from tt_hydra.config.paths import PACKAGE

JOB = """
import os, sys, time
from tt_hydra.process import prepare
prepare()
print(os.getpid(), "starts", flush=True)
try:
    time.sleep(float(sys.argv[1]))
except KeyboardInterrupt as interrupt:
    time.sleep(0.3)  # puts things in order
    print(type(interrupt).__name__, flush=True)
    sys.exit(7)
sys.exit(5)
"""
GRID = f"""
import sys
from tt_hydra.process import prepare, run_job
prepare()
try:
    print("ended", run_job([sys.executable, "-c", {JOB!r}, sys.argv[1]]), flush=True)
except KeyboardInterrupt as interrupt:
    print("grid", type(interrupt).__name__, flush=True)
"""
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a grid whose job takes so many seconds, in a process group of its own as in a terminal."""
    started: list[subprocess.Popen[str]] = []

    def start(seconds: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", GRID, seconds]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        hears = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
        started.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears)  # noqa: PLW1509
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def job_of(grid: subprocess.Popen[str]) -> int:
    assert grid.stdout is not None
    return int(grid.stdout.readline().split()[0])


def test_the_status_of_a_job_is_handed_back(start: Start) -> None:
    out, _ = start("0").communicate()
    assert out.splitlines()[-1] == "ended 5"


@pytest.mark.parametrize("group", [True, False], ids=["terminal", "grid alone"])
@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Terminated")])
def test_a_job_is_told_once_to_stop_and_waited_for(start: Start, number: int, name: str, group: bool) -> None:
    grid = start("60")
    job_of(grid)
    (os.killpg if group else os.kill)(grid.pid, number)
    out, _ = grid.communicate(timeout=30)
    assert out.split("\n") == [name, f"grid {name}", ""]


def test_a_job_ends_with_its_grid(start: Start) -> None:
    grid = start("60")
    job = job_of(grid)
    grid.kill()
    grid.wait()
    assert ends_soon(job)
