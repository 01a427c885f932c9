"""A study opens in optuna-dashboard, a program of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tt_hydra.sweep.plan import Outcome, Plan
from tt_hydra.sweep.settings import SweepSettings
from tt_hydra.sweep.space import Choice, Parameter, Space
from tt_hydra.sweep.study import Driver

DASHBOARD = Path(sys.executable).parent / "optuna-dashboard"
PATIENCE_SECONDS = 60.0


def asked(port: int, path: str, process: subprocess.Popen[bytes]) -> Any:
    """What the dashboard answers, once it does."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}") as answer:
                return json.load(answer)
        except urllib.error.URLError:
            assert process.poll() is None, "the dashboard has ended"
            assert time.monotonic() < ends
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_the_dashboard_shows_every_trial(tmp_path: Path, kind: str) -> None:
    storage = None if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    settings = SweepSettings(name="mine", storage=storage, sampler="random")
    space = Space((Parameter("index", Choice(("flat", "ivf", "hnsw"))),))
    driver = Driver(Plan(settings=settings, space=space, folder=tmp_path / "mine", n_trials=4, seed=0))
    driver.work(lambda job: Outcome({"valid/index/recall@10": 0.1 + job.number}))
    record = driver.record()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [str(DASHBOARD), record.storage, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            (study,) = asked(port, "studies", process)["study_summaries"]
            trials = asked(port, f"studies/{study['study_id']}", process)["trials"]
        finally:
            process.terminate()
    assert study["study_name"] == "mine"
    assert [(trial["number"], trial["values"]) for trial in trials] == [
        (trial.number, list(trial.values.values())) for trial in record.trials
    ]
    assert {trial["state"] for trial in trials} == {"Complete"}
