from __future__ import annotations

import optuna
import pytest

from tt_hydra.sweep import importance
from tt_hydra.sweep.importance import FEWEST, importances

optuna.logging.set_verbosity(optuna.logging.WARNING)


def study(objective, trials=40, directions=("maximize",)):
    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), directions=list(directions))
    made.optimize(objective, n_trials=trials)
    return made


def mostly_a(trial):
    """The variance of a is 9/12, that of b a hundredth of it."""
    return 3 * trial.suggest_float("a", 0, 1) + 0.3 * trial.suggest_float("b", 0, 1)


@pytest.mark.parametrize("many", [200, 10])
def test_the_key_that_matters_comes_first(monkeypatch, many):
    monkeypatch.setattr(importance, "MANY", many)
    (found,) = importances(study(mostly_a), ["recall"])
    assert list(found.shares) == ["a", "b"]
    assert found.shares["a"] > 0.9
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (found.objective, found.trials, found.note) == ("recall", 40, "")
    assert found.method == ("fANOVA" if many == 200 else "PED-ANOVA")


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_ped_anova_looks_at_the_better_end(monkeypatch, direction):
    """At the better end only a counts, at the other only b."""

    def objective(trial):
        a, b = trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)
        good = 10 + a if a > 0.7 else b
        return good if direction == "maximize" else -good

    monkeypatch.setattr(importance, "MANY", 10)
    (found,) = importances(study(objective, trials=120, directions=[direction]), ["recall"])
    assert next(iter(found.shares)) == "a"
    assert found.shares["a"] > 0.8


def test_each_objective_has_its_own():
    def objective(trial):
        a, b = trial.suggest_float("a", 0, 1), trial.suggest_categorical("b", ["1", "2", "4"])
        return a, float(b)

    recall, size = importances(study(objective, directions=("maximize", "minimize")), ["recall", "bytes"])
    assert next(iter(recall.shares)) == "a"
    assert next(iter(size.shares)) == "b"


def test_too_few_trials_are_said():
    for trials in (0, 1, FEWEST - 1):
        (found,) = importances(study(mostly_a, trials=trials), ["recall"])
        assert found.shares == {}
        assert f"there are {trials}" in found.note
    assert importances(study(mostly_a, trials=FEWEST), ["recall"])[0].shares


def test_failed_and_pruned_trials_do_not_count():
    def objective(trial):
        if trial.number % 2:
            raise optuna.TrialPruned
        return mostly_a(trial)

    (found,) = importances(study(objective, trials=20), ["recall"])
    assert found.trials == 10


def test_a_key_of_some_trials_and_one_that_never_changed_are_left_out():
    def objective(trial):
        if trial.suggest_categorical("index", ["hnsw", "ivf"]) == "hnsw":
            trial.suggest_int("M", 8, 64)
        trial.suggest_categorical("fixed", ["1"])
        return trial.suggest_float("a", 0, 1)

    (found,) = importances(study(objective), ["recall"])
    assert set(found.shares) == {"index", "a"}
    assert found.note.endswith("several values of it: M, fixed")


def test_nothing_to_tell():
    same = importances(study(lambda trial: trial.suggest_float("a", 0, 1) * 0 + 1), ["recall"])
    assert "nothing mattered" in same[0].note
    none = importances(study(lambda trial: float(trial.number)), ["recall"])
    assert "no key was searched" in none[0].note
