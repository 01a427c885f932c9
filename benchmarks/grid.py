"""What the studies share: arms x data sets x seeds, run as a user would run them, two at a time, and the table of their differences."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from common import finish, outputs, table

from tt_hydra.metrics.significance import difference_interval

WORKERS = 2
FAST = ("logger=none", "runtime.progress_bar=false", "runtime.threads=1", "runtime.set_latest=false")
CHEAP = ("evaluate.latency_queries=10", "evaluate.resamples=10", "evaluate.examples=0")
"""A study reads quality alone, and makes its own intervals."""


@dataclass(frozen=True)
class Job:
    """One run of the command line."""

    data: str
    arm: str
    seed: int
    overrides: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Set:
    """A data set: how the command line names it, and the figure of each test query that is compared: the model's, or the index's."""

    metric: str
    overrides: tuple[str, ...]
    of: Literal["model", "index"] = "model"


@dataclass(frozen=True)
class Study:
    """What is compared with what, on what.

    Attributes:
        name: of the benchmark.
        data: the data sets, by name.
        arms: overrides of each arm, by name; the first one is what the others are compared with.
        seeds: every arm runs with each of them.
    """

    name: str
    data: Mapping[str, Set]
    arms: Mapping[str, Sequence[str]]
    seeds: Sequence[int]

    def jobs(self) -> Iterator[Job]:
        root = outputs() / "benchmarks" / "runs" / self.name
        for data, about in self.data.items():
            for seed in self.seeds:
                for number, (arm, changes) in enumerate(self.arms.items()):
                    folder = root / data / f"{number}-{seed}"
                    yield Job(
                        data, arm, seed, (*about.overrides, *changes, f"seed={seed}", *FAST, *CHEAP, f"hydra.run.dir={folder}"), folder
                    )

    def run(self) -> pl.DataFrame:
        """One row for each data set, arm, seed and test query."""
        jobs = list(self.jobs())
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"), initializer=_alone) as pool:
            for done, status in enumerate(pool.map(_run, jobs), start=1):
                job = jobs[done - 1]
                print(f"{done}/{len(jobs)} {job.data} {job.arm} seed={job.seed}", flush=True)
                if status:
                    raise SystemExit(f"{' '.join(job.overrides)} ended with {status}: see {job.folder}.log")
        return pl.concat(self._found(job) for job in jobs)

    def _found(self, job: Job) -> pl.DataFrame:
        about = self.data[job.data]
        values = pl.read_parquet(job.folder / "per_query_test.parquet").select("query", value=f"{about.of}/{about.metric}")
        return values.with_columns(data=pl.lit(job.data), arm=pl.lit(job.arm), seed=pl.lit(job.seed))


def by_query(found: pl.DataFrame, data: str, arm: str) -> npt.NDArray[np.float64]:
    """Each query's mean over the seeds, in the order of the queries' ids."""
    own = found.filter((pl.col("data") == data) & (pl.col("arm") == arm))
    return own.group_by("query").agg(pl.col("value").mean()).sort("query")["value"].to_numpy()


def report(study: Study, found: pl.DataFrame) -> None:
    """Prints and writes each arm's mean over seeds, its spread, and its paired difference to the first arm."""
    first, *_ = study.arms
    figures, rows = {}, []
    for data, about in study.data.items():
        for arm in study.arms:
            seeds = found.filter((pl.col("data") == data) & (pl.col("arm") == arm)).group_by("seed").agg(pl.col("value").mean())["value"]
            spread = float(seeds.std() or 0.0) if len(seeds) > 1 else 0.0
            figures |= {f"ours/{data}/{arm}/{about.metric}": float(seeds.mean()), f"ours/{data}/{arm}/std": spread}  # type: ignore[arg-type]
            cells = [f"{data}, {about.metric}", arm, f"{seeds.mean():.4f}", f"{spread:.4f}"]
            if arm != first:
                difference = difference_interval(by_query(found, data, arm), by_query(found, data, first))
                figures |= {f"diff/{data}/{arm}": difference.value}
                figures |= {f"diff/{data}/{arm}/ci_low": difference.low, f"diff/{data}/{arm}/ci_high": difference.high}
                cells.append(f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
            rows.append([*cells, ""][:5])
    title = f"test, {len(study.seeds)} seed(s); difference to {first!r}: by query, mean over seeds, 95% bootstrap interval"
    table(title, ["data", "arm", "mean", "std of seeds", f"- {first}"], rows)
    finish(study.name, figures)


def _alone() -> None:
    """Each of the workers has one core."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _run(job: Job) -> int:
    from tt_hydra.cli import status  # noqa: PLC0415 - a spawned worker sets its threads first

    log = Path(f"{job.folder}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        sys.argv = ["tt_hydra", *job.overrides]
        return status(["run", *job.overrides])
