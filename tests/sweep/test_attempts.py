"""A study's time, by a clock that the test turns: only what processes were at work on counts, however often they died."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from fake_study import drive, parabola, plan

from tt_hydra.sweep.plan import Job, Outcome
from tt_hydra.sweep.record import StudyRecord

CLOCKS = ("tt_hydra.sweep.attempts", "tt_hydra.sweep.limits", "tt_hydra.sweep.records", "tt_hydra.sweep.watching")
DOWN = 3600.0
Turn = Callable[[float], None]


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Turns the clock on by some seconds."""

    class Clock(datetime):
        moment = datetime(2026, 1, 1)

        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return cls.moment.astimezone() if tz is not None else cls.moment

    def turn(seconds: float) -> None:
        Clock.moment += timedelta(seconds=seconds)

    for module in (*CLOCKS, "optuna.storages.journal._storage"):
        monkeypatch.setattr(f"{module}.datetime", Clock, raising=False)
    return turn


def interrupted(run: Callable[[Job], Outcome], *told: object, **settings: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        drive(plan(*told, **settings), run)


@pytest.mark.parametrize("seconds", [(10, 22, 30), (10, 70, 5)], ids=["on the last one", "and no trial is complete"])
def test_downtime_is_no_time_of_the_study_and_each_attempt_is(tmp_path, turn, seconds):
    """Attempts an hour apart use up a minute: the trial comes to its end, without which there was no result, and it is the last."""
    attempts = list(seconds)

    def run(job: Job) -> Outcome:
        turn(attempts.pop(0))
        if attempts:
            raise KeyboardInterrupt
        return parabola(job)

    told = {"n_trials": None, "minutes": 1.0}
    for _ in range(2):
        interrupted(run, tmp_path, **told)
        turn(DOWN)
    record = drive(plan(tmp_path, **told), run).record()
    assert [(trial.number, trial.state, trial.seconds) for trial in record.trials] == [(0, "complete", sum(seconds))]
    assert record.stopped == "the time was up (sweep.minutes=1)"


def test_of_a_process_that_was_killed_counts_what_came_before_its_last_sign_of_life(tmp_path, turn, monkeypatch):
    """Epochs after 20 s and 15 more; what a killed process did after them, nobody knows."""

    def killed(job: Job) -> Outcome:
        for epoch, seconds in enumerate((20, 15), start=1):
            turn(seconds)
            job.watch(epoch, 0.5)
        turn(7)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tt_hydra.sweep.study.sign", lambda trial: None)  # as it is where there is no end to be stamped
        interrupted(killed, tmp_path, n_trials=1, minutes=1.0)
    turn(DOWN)
    seen: list[StudyRecord] = []
    drive(plan(tmp_path, n_trials=1, minutes=1.0), seen=seen)
    assert [[(trial.state, trial.seconds) for trial in record.trials] for record in seen] == [[("running", 35.0)], [("complete", 35.0)]]


def test_a_trial_that_waits_for_its_next_process_does_not_end_the_training_of_another(tmp_path, turn):
    """Two workers are killed beside each other; whoever comes back takes up the trial of one, while the other still lies there."""

    def run(job: Job) -> Outcome:
        turn(5)
        if job.number == 0:
            return parabola(job)
        if job.number == 1:
            interrupted(run, tmp_path, n_trials=3, minutes=1.0)
        raise KeyboardInterrupt

    interrupted(run, tmp_path, n_trials=3, minutes=1.0)
    turn(DOWN)
    verdicts = []

    def watched(job: Job) -> Outcome:
        verdicts.append(job.watch(1, 0.5))
        return parabola(job)

    record = drive(plan(tmp_path, n_trials=3, minutes=1.0), watched).record()
    assert verdicts == [False, False]
    assert [trial.state for trial in record.trials] == ["complete"] * 3


def test_a_machine_that_may_be_gone_counts_until_its_last_sign_of_life(tmp_path, turn):
    """Nobody here can tell whether the other one is still at work."""

    def run(job: Job) -> Outcome:
        turn(10)
        if job.number == 0:
            raise KeyboardInterrupt
        return parabola(job)

    told = {"n_trials": 2, "minutes": 1.0, "storage": str(tmp_path / "shared.log")}
    interrupted(run, tmp_path / "there", **told)
    turn(DOWN)
    record = drive(plan(tmp_path / "here", **told), run).record()
    assert [trial.state for trial in record.trials] == ["running", "complete"]


def test_epochs_that_are_trained_again_after_a_kill_are_no_warnings(tmp_path, recwarn):
    """A training goes on from its last checkpoint, which may lie some epochs back."""

    def run(job: Job) -> Outcome:
        job.watch(1, 0.5)
        if not went_on:
            raise KeyboardInterrupt
        return parabola(job)

    went_on = False
    interrupted(run, tmp_path, n_trials=1)
    went_on = True
    assert drive(plan(tmp_path, n_trials=1), run).record().trials[0].curve == [0.5]
    assert [str(each.message) for each in recwarn] == []
