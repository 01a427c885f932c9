"""The driver over trials that are arithmetic: what is tried, what is remembered, when it ends."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from fake_study import LINE, OBJECTIVE, drive, parabola, plan, values

from tt_hydra.errors import BudgetError, ConfigError, DataError, Pruned
from tt_hydra.sweep.plan import Job, Outcome
from tt_hydra.sweep.space import Choice, Float, Int, Parameter, Space
from tt_hydra.sweep.storage import JOURNAL, open_storage
from tt_hydra.sweep.study import Driver

PAIR = Space((Parameter("x", Choice(("1", "2", "3")), {}, "x"), Parameter("y", Choice(("a", "b")), {}, "y")))


def test_a_study_runs_its_trials_and_knows_the_best(tmp_path):
    seen = []
    record = drive(plan(tmp_path, more={"shared": ("seed=1",)}), seen=seen).record()
    assert [trial.number for trial in record.trials] == list(range(8))
    assert {trial.state for trial in record.trials} == {"complete"}
    best = min(record.trials, key=lambda trial: abs(float(trial.overrides[0][2:]) - 0.3))
    assert record.best == [best.number]
    assert best.command == f"python -m tt_hydra seed=1 {best.overrides[0]}"
    assert best.params == {"x": pytest.approx(float(best.overrides[0][2:]))}
    assert best.folder == tmp_path / str(best.number)
    assert record.stopped == "8 trials"
    assert [change.trials[-1].state for change in seen] == ["running", "complete"] * 8
    assert all(not change.stopped for change in seen[:-1])


def test_going_on_runs_only_what_is_missing(tmp_path):
    ran = []

    def run(job: Job) -> Outcome:
        ran.append(job.number)
        return parabola(job)

    first = drive(plan(tmp_path, n_trials=3), run).record()
    second = drive(plan(tmp_path, n_trials=5), run).record()
    assert ran == [0, 1, 2, 3, 4]
    assert [trial.params for trial in second.trials[:3]] == [trial.params for trial in first.trials]
    whole = drive(plan(tmp_path / "other", n_trials=5)).record()
    assert [trial.params for trial in second.trials] == [trial.params for trial in whole.trials], "as if never interrupted"


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random"])
def test_samplers_draw_the_same_again(tmp_path, sampler):
    found = [drive(plan(tmp_path / str(number), sampler=sampler, n_trials=6)).record() for number in range(2)]
    assert [trial.params for trial in found[0].trials] == [trial.params for trial in found[1].trials]
    assert len({trial.params["x"] for trial in found[0].trials}) == 6
    assert all(0 <= trial.params["x"] <= 1 for trial in found[0].trials)


def test_tpe_searches_where_it_is_good(tmp_path):
    record = drive(plan(tmp_path, sampler="tpe", n_trials=30)).record()
    late = [abs(trial.params["x"] - 0.3) for trial in record.trials[15:]]
    assert sum(late) / len(late) < 0.15, "uniform draws are .29 away on average"


@pytest.mark.parametrize("storage", [None, "sqlite"])
def test_a_trial_that_was_interrupted_goes_on_under_its_number(tmp_path, storage):
    url = None if storage is None else f"sqlite:///{tmp_path / 'study.db'}"

    def interrupted(job: Job) -> Outcome:
        job.watch(1, 0.5)
        if job.number == 2:
            raise KeyboardInterrupt
        return parabola(job)

    with pytest.raises(KeyboardInterrupt):
        drive(plan(tmp_path, n_trials=4, storage=url), interrupted)
    stopped = Driver(plan(tmp_path, n_trials=4, storage=url)).record()
    assert [trial.state for trial in stopped.trials] == ["complete", "complete", "failed"]
    assert "goes on" in stopped.trials[2].error
    again = drive(plan(tmp_path, n_trials=4, storage=url)).record()
    assert [(trial.number, trial.state) for trial in again.trials] == [(number, "complete") for number in range(4)]
    assert again.trials[2].params == stopped.trials[2].params
    assert again.trials[2].error == ""


def test_a_trial_over_which_processes_die_is_given_up(tmp_path):
    def dies(job: Job) -> Outcome:
        raise KeyboardInterrupt

    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            drive(plan(tmp_path, n_trials=2), dies)
    record = drive(plan(tmp_path, n_trials=2)).record()
    assert [trial.state for trial in record.trials] == ["failed", "complete"]
    assert "died" in record.trials[0].error


def test_a_mistake_in_a_run_is_no_missing_figure(tmp_path):
    """A KeyError of whatever runs a trial fails that trial alone."""

    def run(job: Job) -> Outcome:
        if job.number == 0:
            return {}["column"]
        return parabola(job)

    record = drive(plan(tmp_path, n_trials=2), run).record()
    assert [trial.state for trial in record.trials] == ["failed", "complete"]
    assert record.trials[0].error == "KeyError: 'column'"


def test_failed_trials_are_remembered_and_skipped(tmp_path):
    def run(job: Job) -> Outcome:
        if job.number in (1, 3):
            raise DataError("no such column") if job.number == 1 else ZeroDivisionError("by zero")
        return Outcome({OBJECTIVE: math.nan}) if job.number == 2 else parabola(job)

    record = drive(plan(tmp_path, n_trials=6), run).record()
    assert [trial.state for trial in record.trials] == ["complete", "failed", "failed", "failed", "complete", "complete"]
    assert [trial.error for trial in record.trials][1::2] == ["no such column", "ZeroDivisionError: by zero", ""]
    assert "no numbers" in record.trials[2].error


def test_too_many_failures_end_a_study(tmp_path):
    def run(job: Job) -> Outcome:
        raise DataError("never")

    record = drive(plan(tmp_path, n_trials=50, max_failures=2), run).record()
    assert len(record.trials) == 3
    assert "sweep.max_failures=2" in record.stopped
    assert "never" in record.stopped
    assert record.best == []


def test_a_budget_that_some_trials_keep_is_no_failure_of_the_study(tmp_path):
    """index=auto refuses a budget that its trial cannot keep; only where no trial keeps it are such refusals a reason to give up."""

    def run(job: Job) -> Outcome:
        if job.number != 2:
            raise BudgetError("budget.bytes_per_item=60 cannot be met")
        return parabola(job)

    record = drive(plan(tmp_path, n_trials=9, max_failures=2), run).record()
    assert [trial.state for trial in record.trials].count("failed") == 8
    assert (record.stopped, record.best) == ("9 trials", [2])

    def never(job: Job) -> Outcome:
        raise BudgetError("budget.bytes_per_item=1 cannot be met")

    record = drive(plan(tmp_path / "never", n_trials=9, max_failures=2), never).record()
    assert len(record.trials) == 3
    assert "budget.bytes_per_item=1 cannot be met" in record.stopped


def test_figures_that_no_run_has_end_a_study_at_once(tmp_path):
    with pytest.raises(ConfigError, match="need validation queries"):
        drive(plan(tmp_path), lambda job: Outcome({"test/index/recall@10": 0.5}))
    assert len(Driver(plan(tmp_path)).record().trials) == 1
    unlabelled = Outcome({"search/p99_ms": 1.0, "valid/ann/recall@10": 0.9, "train/epochs": 3.0})
    with pytest.raises(ConfigError, match=r"these runs have valid/ann/recall@10, search/p99_ms$"):
        drive(plan(tmp_path / "unlabelled"), lambda job: unlabelled)


def test_patience(tmp_path):
    record = drive(plan(tmp_path, n_trials=50, patience=4), lambda job: Outcome({OBJECTIVE: [1, 2, 3, 2, 3, 1, 2, 9][job.number]})).record()
    assert len(record.trials) == 7, "the third is equalled, not beaten, by those after it"
    assert "nothing better" in record.stopped


def test_minutes(tmp_path):
    record = drive(plan(tmp_path, n_trials=None, minutes=1e-9)).record()
    assert [trial.state for trial in record.trials] == ["complete"]
    assert "the time was up" in record.stopped


def test_a_finite_space_is_tried_once(tmp_path):
    ran = []

    def run(job: Job) -> Outcome:
        ran.append(tuple(job.overrides))
        return Outcome({OBJECTIVE: float(values(job)["x"])})

    record = drive(plan(tmp_path, space=PAIR, n_trials=200), run).record()
    assert sorted(ran) == sorted((f"x={x}", f"y={y}") for x in "123" for y in "ab")
    assert record.stopped == "the whole space has been tried"
    assert record.trials[record.best[0]].params["x"] == 3


def test_conditions(tmp_path):
    kind = Parameter("loss", Choice(("a", "b")), {}, "loss")
    space = Space((kind, Parameter("loss.beta", Float(1.0, 10.0, log=True), {"loss": ("b",)}, "loss.beta")))
    record = drive(
        plan(tmp_path, space=space, sampler="tpe", n_trials=25), lambda job: Outcome({OBJECTIVE: float(len(job.overrides))})
    ).record()
    for trial in record.trials:
        assert ("loss.beta" in trial.params) == (trial.params["loss"] == "b")
    assert {trial.params["loss"] for trial in record.trials} == {"a", "b"}


def test_limits_that_are_passed_make_a_trial_infeasible(tmp_path):
    def run(job: Job) -> Outcome:
        x = float(values(job)["x"])
        return Outcome({OBJECTIVE: x}, {"budget.bytes_per_item": x - 0.5})

    record = drive(plan(tmp_path, sampler="tpe", n_trials=25), run).record()
    assert any(not trial.feasible for trial in record.trials)
    kept = [trial for trial in record.trials if trial.params["x"] <= 0.5]
    assert record.best == [max(kept, key=lambda trial: trial.params["x"]).number]


def test_several_objectives_make_a_front(tmp_path):
    def run(job: Job) -> Outcome:
        x, wasted = float(values(job)["x"]), float(job.number % 2)
        return Outcome({OBJECTIVE: x - wasted, "index/bytes_per_item": 100 * x})

    told = plan(tmp_path, sampler="nsga2", objectives=(OBJECTIVE, "index/bytes_per_item"))
    record = drive(told, run).record()
    assert record.objectives == {OBJECTIVE: "maximize", "index/bytes_per_item": "minimize"}
    even = [trial for trial in record.trials if trial.number % 2 == 0]
    assert set(record.best) >= {trial.number for trial in even}
    firsts = [record.trials[number].values[OBJECTIVE] for number in record.best]
    assert firsts == sorted(firsts, reverse=True)


def test_another_study_of_the_same_name_is_refused(tmp_path):
    drive(plan(tmp_path, n_trials=1))
    other = Space((Parameter("x", Float(0.0, 2.0), {}, "x"),))
    with pytest.raises(ConfigError, match="has another space"):
        Driver(plan(tmp_path, space=other))
    with pytest.raises(ConfigError, match="has another settings"):
        Driver(plan(tmp_path, more={"shared": ("seed=2",)}))
    with pytest.raises(ConfigError, match="has another objectives"):
        Driver(plan(tmp_path, objectives=("search/p99_ms",)))
    Driver(plan(tmp_path, more={"shared": ("runtime.threads=1",)}))


def test_trials_of_an_earlier_study_count_where_all_else_is_the_same(tmp_path):
    earlier = drive(plan(tmp_path / "a", n_trials=4)).record()
    ran = []

    def run(job: Job) -> Outcome:
        ran.append(job.number)
        return parabola(job)

    record = drive(plan(tmp_path / "b", n_trials=2, name="later", warm_start=str(tmp_path / "a")), run).record()
    assert [trial.params for trial in record.trials[:4]] == [trial.params for trial in earlier.trials]
    assert len(ran) == 2
    assert len(record.trials) == 6


@pytest.mark.parametrize("shared", [(), ("data=other",)])
def test_of_an_earlier_study_only_values_that_are_searched_here_count(tmp_path, shared):
    def grid(step):
        return Space((Parameter("x", Int(16, 64, step=step), {}, "x"),))

    earlier = drive(plan(tmp_path / "a", space=grid(8), n_trials=12), lambda job: Outcome({OBJECTIVE: float(values(job)["x"])})).record()
    assert {trial.params["x"] % 16 for trial in earlier.trials} == {0, 8}, "the premise"
    later = plan(tmp_path / "b", space=grid(16), n_trials=4, warm_start=str(tmp_path / "a"), more={"shared": shared})
    record = drive(later, lambda job: Outcome({OBJECTIVE: float(values(job)["x"])})).record()
    assert {trial.params["x"] % 16 for trial in record.trials} == {0}


def test_patience_is_with_a_study_s_own_trials(tmp_path):
    """The best of the earlier study came first: what came after it there does not use up the patience here."""
    drive(plan(tmp_path / "a", n_trials=9), lambda job: Outcome({OBJECTIVE: 1 / (1 + job.number)}))
    later = plan(tmp_path / "b", n_trials=50, patience=4, warm_start=str(tmp_path / "a"))
    record = drive(later, lambda job: Outcome({OBJECTIVE: 2.0 if job.number == 10 else 0.5})).record()
    assert [trial.number for trial in record.trials[9:]] == [9, 10, 11, 12, 13, 14]
    assert "nothing better" in record.stopped


def test_of_another_study_the_best_values_are_tried_first(tmp_path):
    earlier = drive(plan(tmp_path / "a", n_trials=12)).record()
    other = plan(tmp_path / "b", n_trials=5, name="later", warm_start=str(tmp_path / "a"), more={"shared": ("data=other",)})
    record = drive(other).record()
    ranked = sorted(earlier.trials, key=lambda trial: -trial.values[OBJECTIVE])
    assert [trial.params for trial in record.trials] == [trial.params for trial in ranked[:5]]
    with pytest.raises(ConfigError, match="is no folder with"):
        Driver(plan(tmp_path / "c", warm_start=str(tmp_path / "nothing")))


def test_a_bad_training_is_pruned_with_its_curve(tmp_path):
    def run(job: Job) -> Outcome:
        level = 0.1 if job.number == 6 else 0.5 + 0.01 * job.number
        for epoch in range(1, 10):
            if job.watch(epoch, level * epoch / 10):
                raise Pruned("not worth it")
        return Outcome({OBJECTIVE: level})

    record = drive(plan(tmp_path, pruner="asha", n_trials=7), run).record()
    bad = record.trials[6]
    assert (bad.state, len(bad.curve)) == ("pruned", 1)
    assert bad.values == {}
    assert "is not among the best" in bad.error
    assert [len(trial.curve) for trial in record.trials[:4]] == [9] * 4


@pytest.mark.parametrize("refused", [True, False])
def test_trainings_that_cannot_win_prune_no_other(tmp_path, refused):
    """Six wide models find more and do not keep the budget, as index=auto or the measured figure says; the narrow one does."""

    def run(job: Job) -> Outcome:
        wide = job.number < 6
        if job.watch(1, 0.9 if wide else 0.1):
            raise Pruned("")
        if wide and refused:
            raise BudgetError("cannot be met")
        return Outcome({OBJECTIVE: 0.9 if wide else 0.1}, {"budget.bytes_per_item": 64.0 if wide else 0.0})

    record = drive(plan(tmp_path, pruner="asha", n_trials=7, max_failures=9), run).record()
    assert record.best == [6]


def test_several_objectives_prune_among_trainings_of_the_same_width(tmp_path):
    space = Space((Parameter("embedding_dim", Int(8, 16, step=8), {}, "embedding_dim"), *LINE.parameters))

    def run(job: Job) -> Outcome:
        narrow = values(job)["embedding_dim"] == "8"
        if job.watch(1, 0.1 if narrow else 0.9):
            raise Pruned("")
        return Outcome({OBJECTIVE: 0.1 if narrow else 0.9, "index/bytes_per_item": 8.0 if narrow else 16.0})

    objectives = (OBJECTIVE, "index/bytes_per_item")
    record = drive(plan(tmp_path, space=space, pruner="median", n_trials=20, objectives=objectives), run).record()
    assert {trial.state for trial in record.trials} == {"complete"}


def test_the_journal_survives_a_line_that_was_cut_short(tmp_path):
    drive(plan(tmp_path, n_trials=2))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 6, "trial_')
    record = drive(plan(tmp_path, n_trials=4)).record()
    assert [trial.state for trial in record.trials] == ["complete"] * 4


def test_optuna_reads_the_study(tmp_path):
    drive(plan(tmp_path, n_trials=3, pruner="asha"), lambda job: (job.watch(1, 0.5), parabola(job))[1])
    study = optuna.load_study(study_name="study", storage=open_storage(None, tmp_path))
    assert study.metric_names == [OBJECTIVE]
    assert [trial.intermediate_values for trial in study.trials] == [{1: 0.5}] * 3


def test_a_storage_that_cannot_be_opened(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be opened"):
        Driver(plan(tmp_path, storage="sqlite:////no/such/folder/study.db"))


def test_points_come_from_the_folders_of_trials(tmp_path):
    points = {str(number): [SimpleNamespace(name=f"point {number}")] for number in range(3)}
    record = drive(plan(tmp_path, n_trials=3, more={"read_points": lambda folder: points[folder.name]})).record()
    assert [trial.points[0].name for trial in record.trials] == ["point 0", "point 1", "point 2"]
