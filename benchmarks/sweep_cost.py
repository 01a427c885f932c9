"""A joint sweep against flat TPE over the same space with nothing shared: how soon each reaches the same front.

Both search training (temperature, dimension) and index (kind, codes, search parameters) of MovieLens-100K, for recall of the real index,
p99 and bytes an item. Ours trains, then searches indexes over the stored vectors (index=auto); the peer runs everything in each trial.
The peer has 20 trials with trainings of 3 epochs, by three seeds; with --quick 10 with trainings of one epoch, by one seed.
The points of both fronts are then measured again, all in the same way, and hypervolumes are taken of those figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import ROOT, arguments, finish, metrics_of, outputs, table

from tt_hydra.index.tune.frontier import read_frontier
from tt_hydra.sweep.front import QUALITY, hypervolume, on_front

SHARED = ["logger=none", "runtime.progress_bar=false", "evaluate.resamples=20"]
ALONE = ["evaluate.parts=[valid]", "runtime.bundle=false", "runtime.report=false", "runtime.set_latest=false"]
SPACE = ["temperature.start=tag(log, interval(0.03, 0.3))", "embedding_dim=choice(32, 64, 128)"]
PEER_TRIALS = {True: 10, False: 20}
"""By --quick; ours has as many at most, in the same time."""
FIGURES = ("valid/index/recall@10", "search/p99_ms", "index/bytes_per_item")
DIRECTIONS = list(QUALITY.values())
MOST_AGAIN = 8
"""Points of a front that are measured again, evenly spread over it."""


@dataclass(frozen=True)
class Found:
    """An index that a trial tried: overrides of the whole run, when it was known, where the stages of its trial lie."""

    overrides: tuple[str, ...]
    seconds: float
    outputs: Path
    figures: tuple[float, ...] = ()


def main() -> None:
    quick = arguments(__doc__).quick
    figures: dict[str, float] = {}
    rows = []
    SHARED.append(f"train.max_epochs={1 if quick else 3}")
    seeds = range(1 if quick else 3)
    for seed in seeds:
        found = race(outputs() / "benchmarks" / "sweep_cost" / str(seed), seed, PEER_TRIALS[quick])
        figures |= {f"seed{seed}/{key}": value for key, value in found.items()}
        rows += [[str(seed), key, f"{value:.3g}"] for key, value in found.items()]
    table("Joint sweep against flat TPE without reuse, fronts measured again", ["seed", "figure", "value"], rows)
    for key in ("ratio/time_to_peer_front", "ratio/hypervolume"):
        figures[key] = float(np.median([figures[f"seed{seed}/{key}"] for seed in seeds]))
    finish("sweep_cost", figures)


def race(folder: Path, seed: int, trials: int) -> dict[str, float]:
    """Both sides one after the other; times, hypervolumes and their ratios."""
    peer = flat(folder / "peer", seed, trials)
    ours = joint(folder / "ours", seed, trials, minutes=peer[-1].seconds / 60)
    again = [measured(front_of(peer), "peer"), measured(milestones(ours), "ours")]
    reference = worst([*again[0], *again[1]])
    target = volume(again[0], reference)
    reached = [point.seconds for point in again[1] if volume([p for p in again[1] if p.seconds <= point.seconds], reference) >= target]
    soonest = min(reached, default=float("nan"))
    return {
        "ours/trials": float(len({point.seconds for point in ours})),
        "peer/trials": float(len(peer)),
        "ours/seconds_to_peer_front": soonest,
        "peer/seconds": peer[-1].seconds,
        "ours/hypervolume": volume(again[1], reference),
        "peer/hypervolume": target,
        "ratio/time_to_peer_front": soonest / peer[-1].seconds,
        "ratio/hypervolume": volume(again[1], reference) / target,
    }


def flat(folder: Path, seed: int, trials: int) -> list[Found]:
    """The peer's trials."""
    program = [sys.executable, "-m", "tt_hydra"]
    shared = [*SHARED, *ALONE, f"seed={42 + seed}"]
    told = {"folder": str(folder), "program": program, "shared": shared, "trials": trials, "seed": seed, "cwd": str(ROOT)}
    script = ROOT / "benchmarks" / "peers" / "flat_tpe.py"  # Optuna is ours too: the same version drives both sides
    subprocess.run([sys.executable, str(script), json.dumps(told)], check=True, cwd=ROOT)
    found = []
    for number, trial in enumerate(json.loads((folder / "trials.json").read_text(encoding="utf-8"))):
        overrides = (f"seed={42 + seed}", *trial["overrides"])
        metrics = metrics_of(folder / str(number) / "run")
        found.append(Found(overrides, trial["seconds"], Path(trial["outputs"]), tuple(metrics[key] for key in FIGURES)))
    return found


def joint(folder: Path, seed: int, trials: int, minutes: float) -> list[Found]:
    """Every index of every trial of ours, in the time that the peer took."""
    own = [
        f"sweep.minutes={minutes:.3f}",
        f"hydra.sweeper.n_trials={trials}",
        f"hydra.sweep.dir={folder / 'sweep'}",
        "sweep.final=false",
    ]
    command = [sys.executable, "-m", "tt_hydra", "--multirun", *SPACE, "index=auto", *SHARED, f"seed={42 + seed}", *own]
    started = time.time()
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "TT_HYDRA_OUTPUTS": str(folder / "outputs")})
    found = []
    for trial in sorted((folder / "sweep").glob("[0-9]*"), key=lambda path: int(path.name)):
        if not (trial / "metrics.json").exists():
            continue
        seconds = (trial / "metrics.json").stat().st_mtime - started
        lines = (trial / ".hydra" / "overrides.yaml").read_text(encoding="utf-8").splitlines()
        searched = [line.removeprefix("- ") for line in lines if line.startswith(("- temperature.start", "- embedding_dim"))]
        for point in read_frontier(trial):
            overrides = (f"seed={42 + seed}", *searched, *point.overrides.split())
            found.append(Found(overrides, seconds, folder / "outputs", (point.quality or 0.0, point.p99_ms, point.bytes_per_item)))
    return found


def front_of(points: Sequence[Found]) -> list[Found]:
    """The points that none dominates, some of them where there are many, in the order in which they were found."""
    kept = on_front([point.figures for point in points], DIRECTIONS)
    front = sorted((point for point, front in zip(points, kept, strict=True) if front), key=lambda point: point.figures[0])
    chosen = np.unique(np.linspace(0, len(front) - 1, min(len(front), MOST_AGAIN)).round().astype(int))
    return [front[place] for place in chosen]


def milestones(points: Sequence[Found]) -> list[Found]:
    """The fronts after the first trial, after a few, and at the end."""
    ends = sorted({point.seconds for point in points})
    fronts = [front_of([point for point in points if point.seconds <= end]) for end in (*ends[:3], ends[-1])]
    return list(dict.fromkeys(point for front in fronts for point in front))


def measured(points: Sequence[Found], side: str) -> list[Found]:
    """The same indexes, built and measured again by a plain run over the stages that their trial left."""
    found = []
    for number, point in enumerate(points):
        folder = outputs() / "benchmarks" / "runs" / f"sweep_cost-{side}-{number}"
        command = [sys.executable, "-m", "tt_hydra", *SHARED, *ALONE, *point.overrides, f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "TT_HYDRA_OUTPUTS": str(point.outputs)})
        metrics = metrics_of(folder)
        found.append(Found(point.overrides, point.seconds, point.outputs, tuple(metrics[key] for key in FIGURES)))
    return found


def worst(points: Sequence[Found]) -> tuple[float, float, float]:
    """A point a little worse than all: no recall, a tenth more time and bytes than the slowest and the largest."""
    return 0.0, 1.1 * max(point.figures[1] for point in points), 1.1 * max(point.figures[2] for point in points)


def volume(points: Sequence[Found], reference: tuple[float, float, float]) -> float:
    return hypervolume([point.figures for point in points], reference, DIRECTIONS) if points else 0.0


if __name__ == "__main__":
    main()
