"""Which of the searched keys mattered, by Optuna's evaluators."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

FEWEST = 6
"""Complete trials below which shares are noise."""
TREES = 64
MANY = 200
"""Trials above which fANOVA's forest takes long; PED-ANOVA does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """What mattered for one objective.

    Attributes:
        objective: its key.
        shares: of each searched key, the highest first; they add up to 1; empty where they cannot be told.
        method: how they were found.
        trials: complete trials that they come from.
        note: why there are none, or which keys are left out; empty where there is nothing to say.
    """

    objective: str
    shares: Mapping[str, float] = field(default_factory=dict)
    method: str = ""
    trials: int = 0
    note: str = ""


def importances(study: optuna.Study, objectives: Sequence[str]) -> list[Importance]:
    """The importance of each searched key for each objective.

    fANOVA (Hutter et al., "An efficient approach for assessing hyperparameter importance", ICML 2014): the share of the objective's
    variance that a key explains alone. Above some hundred trials PED-ANOVA (Watanabe et al., IJCAI 2023): how much the best trials'
    values of a key stand apart. Keys that only some trials have are left out and named.

    Args:
        study: whose trials are read.
        objectives: keys of its objectives, in its order.
    """
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    return [_importance(study, done, place, key) for place, key in enumerate(objectives)]


def _importance(study: optuna.Study, done: Sequence[FrozenTrial], place: int, key: str) -> Importance:
    shared = _shared(done)
    varied = [name for name in shared if len({trial.params[name] for trial in done}) > 1]
    problem = _problem(done, varied, place)
    if problem:
        return Importance(objective=key, trials=len(done), note=problem)
    ped = len(done) > MANY
    sign = -1.0 if study.directions[place] == StudyDirection.MAXIMIZE else 1.0  # PED-ANOVA takes lower targets for better
    evaluator = PedAnovaImportanceEvaluator() if ped else FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=evaluator, params=varied, target=lambda trial: sign * _value(trial, place))
    except (ValueError, RuntimeError) as error:
        return Importance(objective=key, trials=len(done), note=f"it cannot be told from these trials: {error}")
    left_out = sorted({name for trial in done for name in trial.params} - set(varied))
    note = f"left out, as not every trial had several values of it: {', '.join(left_out)}" if left_out else ""
    shares = {name: float(share) for name, share in sorted(found.items(), key=lambda pair: -pair[1])}
    return Importance(objective=key, shares=shares, method="PED-ANOVA" if ped else "fANOVA", trials=len(done), note=note)


def _problem(done: Sequence[FrozenTrial], varied: Sequence[str], place: int) -> str:
    """Why nothing can be told; empty where something can."""
    if len(done) < FEWEST:
        return f"it takes {FEWEST} complete trials to tell what mattered, there are {len(done)}"
    if not varied:
        return "no key was searched in every trial"
    if len({_value(trial, place) for trial in done}) == 1:
        return "every trial has the same value: nothing mattered"
    return ""


def _shared(done: Sequence[FrozenTrial]) -> list[str]:
    """Keys that every trial has, in the order of the first."""
    return [name for name in done[0].params if all(name in trial.params for trial in done)] if done else []


def _value(trial: FrozenTrial, place: int) -> float:
    return float(trial.values[place])
