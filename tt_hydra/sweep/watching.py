"""Follows the training of a trial: keeps its curve in the study, and says when it is not worth going on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tt_hydra.sweep.attempts import Locks, sign
from tt_hydra.sweep.prune import Curve, Pruning
from tt_hydra.sweep.records import CURVE, ERROR, spent
from tt_hydra.sweep.storage import open_storage, quieten

PRUNING, MINUTES = "pruning", "minutes"
"""Attributes of a study that a trial in a process of its own reads."""
WIDTH = "embedding_dim"
"""Where several figures are aimed at, only trainings of the same width are compared: a narrow model is not meant to win by recall."""


class Watching:
    """The watch over one trial's training.

    Args:
        study: that it belongs to.
        trial: Optuna's.
        pruning: how trainings are judged.
        minutes: time that the study may take.
        locks: say on which other trials processes are at work.
    """

    def __init__(self, study: optuna.Study, trial: optuna.Trial, pruning: Pruning, minutes: float | None, locks: Locks) -> None:
        self._study = study
        self._trial = trial
        self._pruning = pruning
        self._minutes = minutes
        self._locks = locks
        self._curve: list[float] = []

    def __call__(self, epoch: int, value: float) -> bool:
        """Keeps the value; whether the training shall end."""
        sign(self._trial)
        self._curve[epoch - 1 :] = [value]
        self._trial.set_user_attr(CURVE, self._curve)
        if len(self._study.directions) == 1 and self._study.direction == optuna.study.StudyDirection.MAXIMIZE:
            self._trial.report(value, epoch)
        reason = self._verdict()
        if reason:
            self._trial.set_user_attr(ERROR, reason)
        return bool(reason)

    def remember(self, curve: Sequence[float]) -> None:
        """Keeps the curve of a training that was done before."""
        if list(curve) != self._curve:
            self._curve = list(curve)
            self._trial.set_user_attr(CURVE, self._curve)

    def _verdict(self) -> str:
        trials = self._study.get_trials(deepcopy=False)
        late = self._minutes is not None and spent(trials, datetime.now(), self._locks.at_work) > self._minutes * 60
        if late and any(trial.state == TrialState.COMPLETE for trial in trials):
            return f"the time was up (sweep.minutes={self._minutes:g})"
        own = next(trial for trial in trials if trial.number == self._trial.number)
        others = [_curve(trial) for trial in trials if trial.number != own.number and self._comparable(own, trial)]
        return self._pruning.verdict(Curve(own.number, self._curve, ended=False), others)

    def _comparable(self, own: FrozenTrial, other: FrozenTrial) -> bool:
        """Whether another training is a rival: one that failed, or that passes a limit of the budget, cannot win."""
        if other.state == TrialState.FAIL or any(over > 0 for over in other.constraints.values()):
            return False
        return len(self._study.directions) == 1 or own.params.get(WIDTH) == other.params.get(WIDTH)


def to_environment(storage: str | None, folder: Path, study: str, number: int) -> str:
    """What the process of a trial must know of it."""
    return json.dumps({"storage": storage, "folder": str(folder.absolute()), "study": study, "number": number})


def from_environment(text: str) -> Watching:
    """The watch over this process's trial."""
    told: Mapping[str, Any] = json.loads(text)
    quieten()
    study = optuna.load_study(study_name=told["study"], storage=open_storage(told["storage"], Path(told["folder"])))
    locks = Locks(Path(told["folder"]), shared=told["storage"] is not None)
    return Watching(study, find(study, told["number"]), Pruning(**study.user_attrs[PRUNING]), study.user_attrs[MINUTES], locks)


def find(study: optuna.Study, number: int) -> optuna.Trial:
    """The trial of a number, to go on with."""
    return optuna.Trial(study, study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def _curve(trial: FrozenTrial) -> Curve:
    return Curve(trial.number, trial.user_attrs.get(CURVE, ()), ended=trial.state.is_finished())
