"""A study whose trials are arithmetic: as a function, and as a process that a test may kill."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tt_hydra.sweep.plan import Job, Outcome, Plan
from tt_hydra.sweep.settings import SweepSettings
from tt_hydra.sweep.space import Float, Parameter, Space
from tt_hydra.sweep.study import Driver

OBJECTIVE = "valid/index/recall@10"
LINE = Space((Parameter("x", Float(0.0, 1.0), {}, "x"),))


def plan(folder: Path, space: Space = LINE, n_trials: int | None = 8, more: dict[str, Any] | None = None, **settings: Any) -> Plan:
    """A study in a folder."""
    told = SweepSettings(**{"name": "study", "sampler": "random", "pruner": "none", **settings})
    return Plan(settings=told, space=space, folder=folder, n_trials=n_trials, seed=3, **(more or {}))


def values(job: Job) -> dict[str, str]:
    """What a trial was told, by key."""
    return dict(word.split("=", 1) for word in job.overrides)


def parabola(job: Job) -> Outcome:
    """Best at x = 0.3."""
    return Outcome({OBJECTIVE: 1 - (float(values(job)["x"]) - 0.3) ** 2})


def drive(told: Plan, run_trial: Callable[[Job], Outcome] = parabola, seen: list[Any] | None = None) -> Driver:
    """One process's part in a study, done."""
    driver = Driver(told)
    driver.work(run_trial, (seen if seen is not None else []).append)
    return driver


def _slow(folder: Path, seconds: float) -> Callable[[Job], Outcome]:
    """A trial that takes its time and writes down that it came to its end."""

    def run(job: Job) -> Outcome:
        for epoch in range(1, 4):
            time.sleep(seconds / 3)
            job.watch(epoch, 0.1 * epoch)
        with (folder / "ended").open("a") as file:
            file.write(f"{job.number} {' '.join(job.overrides)}\n")
        return parabola(job)

    return run


def main(arguments: Sequence[str]) -> None:
    """``FOLDER TRIALS SECONDS``: works on the study in a folder."""
    folder, trials, seconds = Path(arguments[0]), int(arguments[1]), float(arguments[2])
    print("starts", flush=True)
    drive(plan(folder, n_trials=trials), _slow(folder, seconds))
    print("ended", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
