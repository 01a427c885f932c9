"""A flat study: every trial is a whole run, chosen by Optuna's multi-objective TPE over training and index together, nothing shared.

    python flat_tpe.py '{"folder": ..., "program": [...], "shared": [...], "trials": 10, "seed": 0}'

Leaves ``trials.json``: for each trial what it ran with, when it ended (seconds since the start) and its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import optuna

OBJECTIVES = {"valid/index/recall@10": "maximize", "search/p99_ms": "minimize", "index/bytes_per_item": "minimize"}


def main() -> None:
    told = json.loads(sys.argv[1])
    folder = Path(told["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=told["seed"], n_startup_trials=5)
    study = optuna.create_study(directions=list(OBJECTIVES.values()), sampler=sampler)
    started, trials = time.monotonic(), []
    for number in range(told["trials"]):
        trial = study.ask()
        overrides = suggest(trial)
        run = folder / str(number)
        shutil.rmtree(run, ignore_errors=True)
        command = [*told["program"], *told["shared"], *overrides, f"hydra.run.dir={run / 'run'}"]
        subprocess.run(command, check=True, cwd=told["cwd"], env={**os.environ, "TT_HYDRA_OUTPUTS": str(run / "outputs")})
        metrics = json.loads((run / "run" / "metrics.json").read_text(encoding="utf-8"))
        study.tell(trial, [metrics[key] for key in OBJECTIVES])
        trials.append({"overrides": overrides, "seconds": time.monotonic() - started, "outputs": str(run / "outputs")})
    (folder / "trials.json").write_text(json.dumps(trials), encoding="utf-8")


def suggest(trial: optuna.Trial) -> list[str]:
    """The space of the shipped sweep ``joint``, and the indexes that index=auto searches by itself."""
    values = {
        "temperature.start": trial.suggest_float("temperature.start", 0.03, 0.3, log=True),
        "embedding_dim": trial.suggest_categorical("embedding_dim", [32, 64, 128]),
        "index": trial.suggest_categorical("index", ["flat", "ivf", "hnsw"]),
        "quantization": trial.suggest_categorical("quantization", ["none", "fp16", "int8", "pq"]),
    }
    if values["index"] == "ivf":
        values["index.nprobe"] = trial.suggest_int("index.nprobe", 1, 32, log=True)
    if values["index"] == "hnsw":
        values["index.M"] = trial.suggest_categorical("index.M", [8, 16, 32])
        values["index.efSearch"] = trial.suggest_int("index.efSearch", 16, 256, log=True)
    return [f"{key}={value}" for key, value in values.items()]


if __name__ == "__main__":
    main()
