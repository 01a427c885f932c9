"""A sweep over temperature schedule x dimension: its winner, chosen on validation, against the default, on test.

MovieLens-100K, and SciFact where --data holds it. The winner may well be no better: the interval of the paired difference says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from common import ROOT, arguments, finish, metrics_of, outputs, run_ours, table

from tt_hydra.metrics.significance import difference_interval

METRICS = ("recall@10", "ndcg@10")


@dataclass(frozen=True)
class Task:
    """A data set: what both sides share, and the trials of the sweep, in full and under --quick."""

    shared: tuple[str, ...]
    trials: int
    quick_trials: int


def tasks(data: Path | None) -> dict[str, Task]:
    found = {"movielens": Task((), 20, 6)}
    if data is not None and (data / "scifact").is_dir():
        text = ("data=beir", f"data.path={data / 'scifact'}", "tower=bert", "tower.item_max_length=128")
        found["scifact"] = Task(text, 12, 2)
    return found


def main() -> None:
    given = arguments(__doc__)
    figures: dict[str, float] = {}
    rows = []
    for name, task in tasks(given.data).items():
        trials = task.quick_trials if given.quick else task.trials
        default = run_ours(f"sweep_quality-{name}-default", [*task.shared, "logger=none"])
        folder = sweep(name, [*task.shared, "logger=none"], trials)
        found = compared(default, folder / "best")
        figures |= {f"{name}/{key}": value for key, value in found.items()} | {f"{name}/trials": float(trials)}
        rows += [cells(name, metric, found) for metric in METRICS]
        rows[-1][-1] = chosen(folder)
    table("Winner of the sweep (by validation) against the default, test, 95% bootstrap intervals by query",
          ["", "metric", "winner", "default", "difference", "chosen"], rows)  # fmt: skip
    finish("sweep_quality", figures)


def sweep(name: str, shared: list[str], trials: int) -> Path:
    """Runs the shipped sweep as a user would; its folder."""
    folder = outputs() / "benchmarks" / "runs" / f"sweep_quality-{name}"
    own = [f"hydra.sweeper.n_trials={trials}", f"sweep.name={name}", f"hydra.sweep.dir={folder}"]
    command = [sys.executable, "-m", "tt_hydra", "--multirun", "sweep=temperature_dim", *shared, *own]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "TT_HYDRA_OUTPUTS": str(outputs())})
    return folder


def compared(default: Path, winner: Path) -> dict[str, float]:
    """Both figures of each metric, and the interval of the paired difference."""
    sides = [pl.read_parquet(run / "per_query_test.parquet") for run in (winner, default)]
    if sides[0]["query"].to_list() != sides[1]["query"].to_list():
        raise SystemExit("the two runs did not judge the same queries")
    found = {}
    for metric in METRICS:
        difference = difference_interval(*(side[f"index/{metric}"].to_numpy() for side in sides))
        found |= {
            f"ours/winner/{metric}": metrics_of(winner)[f"test/index/{metric}"],
            f"ours/default/{metric}": metrics_of(default)[f"test/index/{metric}"],
            f"diff/{metric}": difference.value,
            f"diff/{metric}/ci_low": difference.low,
            f"diff/{metric}/ci_high": difference.high,
        }
    return found


def cells(name: str, metric: str, found: dict[str, float]) -> list[str]:
    low, high = found[f"diff/{metric}/ci_low"], found[f"diff/{metric}/ci_high"]
    sides = [f"{found[f'ours/{side}/{metric}']:.4f}" for side in ("winner", "default")]
    return [name, metric, *sides, f"{found[f'diff/{metric}']:+.4f} ({low:+.4f} to {high:+.4f})", ""]


def chosen(folder: Path) -> str:
    """What the winner was told beyond what all trials share."""
    lines = (folder / "best" / ".hydra" / "overrides.yaml").read_text(encoding="utf-8").splitlines()
    return " ".join(
        word
        for word in (line.removeprefix("- ") for line in lines)
        if word.startswith(("temperature", "embedding_dim", "loss", "prefix_dim"))
    )


if __name__ == "__main__":
    main()
