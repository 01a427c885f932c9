"""Studies of real trainings, in processes that are killed, stopped and started again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from commands import CommandLine, Done, figures
from optuna.trial import FrozenTrial, TrialState

from tt_hydra.sweep.storage import open_storage

Command = Callable[..., CommandLine]
MOMENTS = ("sweep/mine/study.log", "store/train/*.partial", "store/train/*.partial/last.ckpt", "store/evaluate/*.partial")
SEARCHED = ("--multirun", "temperature.start=interval(0.05,1)", "sweep.sampler=random", "sweep.pruner=none", "sweep.name=mine")


def sweep_of(line: CommandLine) -> Path:
    return line.outputs / "sweep" / "mine"


def trials_of(line: CommandLine) -> list[FrozenTrial]:
    return optuna.load_study(study_name="mine", storage=open_storage(None, sweep_of(line))).trials


def require_complete(line: CommandLine, count: int) -> None:
    trials = trials_of(line)
    assert [(trial.number, trial.state) for trial in trials] == [(number, TrialState.COMPLETE) for number in range(count)]
    assert len(list(line.outputs.glob("store/train/*/training.json"))) == count, "no training was done twice"
    assert not any((line.outputs / "store").rglob("*.partial"))


def test_a_study_that_is_killed_goes_on_and_its_winner_is_run_in_full(command: Command, try_in_process: Callable[..., Done]) -> None:
    line = command(*SEARCHED, "hydra.sweeper.n_trials=2")
    process = line.start()
    assert process.wait_for("store/train/*.partial/best-1.safetensors")
    process.signal(signal.SIGKILL)
    done = try_in_process(line)
    assert done.status == 0, done.err
    assert "resuming the training after epoch" in (sweep_of(line) / "0" / "run.log").read_text()
    require_complete(line, 2)
    for number in range(2):
        metrics = figures(sweep_of(line) / str(number))
        assert not any(key.startswith("test/") for key in metrics)
        assert not (sweep_of(line) / str(number) / "bundle").exists()
        assert not (sweep_of(line) / str(number) / "report.html").exists()
    assert [len(trial.user_attrs["curve"]) for trial in trials_of(line)] == [6, 6], "what came before the kill is part of it"
    final = figures(sweep_of(line) / "best")
    best = max(trials_of(line), key=lambda trial: trial.values[0])
    assert final["valid/index/recall@10"] == pytest.approx(best.values[0])
    assert "test/index/recall@10" in final
    assert [final[f"stage/{name}/reused"] for name in ("prepare", "train", "embed", "index", "evaluate")] == [1, 1, 1, 1, 0]
    assert (sweep_of(line) / "best" / "bundle" / "manifest.json").is_file()
    assert not (line.outputs / "run" / "latest").exists()


def test_a_pruned_training_leaves_its_curve_and_no_model(command: Command, try_in_process: Callable[..., Done]) -> None:
    rates = ["0.02", "0.021", "0.022", "0.023", "1e-06"]
    starts = ",".join(f"{{optimizer.lr: {rate}}}" for rate in rates)
    told = ("--multirun", "sweep.pruner=median", "sweep.name=mine", "sweep.final=false", "train.max_epochs=3", f"sweep.starts=[{starts}]")
    line = command(*told, f"optimizer.lr=choice({','.join(rates)})", "hydra.sweeper.n_trials=5")
    done = try_in_process(line)
    assert done.status == 0, done.err
    *good, bad = trials_of(line)
    assert [trial.params["optimizer.lr"] for trial in (*good, bad)] == rates
    assert [trial.state for trial in good] == [TrialState.COMPLETE] * 4
    assert bad.state == TrialState.PRUNED
    assert len(bad.user_attrs["curve"]) < 3
    assert "below the median" in bad.user_attrs["error"]
    assert len(list(line.outputs.glob("store/train/*/training.json"))) == 4


@pytest.mark.slow
def test_ctrl_c(command: Command) -> None:
    line = command(*SEARCHED, "hydra.sweeper.n_trials=2")
    process = line.start()
    assert process.wait_for("store/train/*.partial/best-1.safetensors")
    stopped = process.signal(signal.SIGINT, group=True)
    assert stopped.status == 130
    assert stopped.last_line.startswith("interrupted; to go on from here: python -m tt_hydra ")
    assert "Traceback" not in stopped.err
    assert line.run().status == 0
    require_complete(line, 2)


@pytest.mark.slow
def test_two_workers_and_one_more_that_joins(command: Command) -> None:
    line = command(*SEARCHED, "hydra.sweeper.n_trials=6", "sweep.workers=2")
    first, second = line.start(), line.start("sweep.workers=1")
    ended = [first.end(), second.end()]
    assert [done.status for done in ended] == [0, 0], [done.err for done in ended]
    require_complete(line, 6)
    assert line.run().status == 0
    assert (sweep_of(line) / "best" / "metrics.json").is_file()


@pytest.mark.slow
def test_a_trial_on_two_devices_is_watched_by_its_first_rank(command: Command) -> None:
    line = command(*SEARCHED, "hydra.sweeper.n_trials=1", "train.devices=2", "sweep.final=false")
    done = line.run()
    assert done.status == 0, done.err
    (trial,) = trials_of(line)
    assert len(trial.user_attrs["curve"]) == 6
    assert trial.values[0] == pytest.approx(trial.user_attrs["metrics"]["valid/index/recall@10"])


@pytest.mark.slow
def test_killed_at_ten_moments(command: Command) -> None:
    line = command(*SEARCHED, "hydra.sweeper.n_trials=3")
    for number in range(10):
        process = line.start()
        moment = ("sweep/mine/study.log", "store/train/*.partial", "store/train/*.partial/last.ckpt", "store/evaluate/*.partial")[
            number % 4
        ]
        process.wait_for(moment)
        process.signal(signal.SIGKILL)
    done = line.run()
    assert done.status == 0, done.err
    require_complete(line, 3)
