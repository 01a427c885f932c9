"""What a sweep over indexes costs after one run: 50 trials, drawn at random, on MovieLens; none trains or embeds anything.

A trial's time is counted from its start to the start of the next, so whatever the sweep itself does is part of it; its index build is
taken off, for that is the work that was asked for. With --quick 20 trials, and a training of one epoch.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys

import optuna
from common import ROOT, arguments, finish, outputs, run_ours, table

from tt_hydra.sweep.records import METRICS, SAME_AS
from tt_hydra.sweep.storage import open_storage

NAME = "index_sweep"
SHARED = ("prepare", "train", "embed")


def main() -> None:
    quick = arguments(__doc__).quick
    trials, shared = (20, ["train.max_epochs=1"]) if quick else (50, [])
    root = outputs() / "benchmarks" / NAME
    shutil.rmtree(root, ignore_errors=True)  # what an earlier call measured would be reused, and is not to be
    shared = [*shared, f"runtime.outputs={root}"]
    run_ours(NAME, shared)
    told = ["sweep=index_only", "sweep.sampler=random", f"sweep.name={NAME}", "sweep.final=false", f"hydra.sweeper.n_trials={trials}"]
    subprocess.run([sys.executable, "-m", "tt_hydra", "--multirun", *shared, *told], check=True, cwd=ROOT)
    folder = root / "sweep" / NAME
    study = optuna.load_study(study_name=NAME, storage=open_storage(None, folder))
    done = [trial for trial in study.trials if METRICS in trial.user_attrs and SAME_AS not in trial.user_attrs]
    starts = [*(trial.datetime_start for trial in study.trials), study.trials[-1].datetime_complete]
    whole = {trial.number: (starts[trial.number + 1] - starts[trial.number]).total_seconds() for trial in done}
    metrics = {trial.number: trial.user_attrs[METRICS] for trial in done}
    beyond = [whole[number] - found["stage/index/seconds"] for number, found in metrics.items()]
    figures = {
        "ours/trials": float(len(done)),
        **{
            f"ours/{stage}/reused": sum(found[f"stage/{stage}/reused"] for found in metrics.values())
            for stage in ("prepare", "train", "embed")
        },
        "ours/trial_s/median": statistics.median(whole.values()),
        "ours/beyond_build_s/median": statistics.median(beyond),
        "ours/beyond_build_s/highest": max(beyond),
        "ours/evaluate_s/median": statistics.median(found["stage/evaluate/seconds"] for found in metrics.values()),
    }
    rows = [[key.removeprefix("ours/"), f"{value:.3g}"] for key, value in figures.items()]
    table(f"{len(done)} indexes over one training, MovieLens-100K", ["figure", ""], rows)
    finish(NAME, figures)


if __name__ == "__main__":
    main()
