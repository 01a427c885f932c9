"""When a study ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from tt_hydra.sweep import records
from tt_hydra.sweep.record import TrialRecord
from tt_hydra.sweep.records import ERROR, OVERRIDES, REFUSED, WARM
from tt_hydra.sweep.settings import SweepSettings


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a study.

    Attributes:
        settings: time, patience and failures.
        n_trials: how many trials it may have; None for no such limit.
        points: how many its space has.
    """

    settings: SweepSettings
    n_trials: int | None
    points: float

    def told(self) -> str:
        """The limits as a person reads them."""
        settings, told = self.settings, []
        told += [f"{self.n_trials} trials"] if self.n_trials is not None else []
        told += [f"{settings.minutes:g} minutes"] if settings.minutes is not None else []
        told += [f"{settings.patience} trials without a better one"] if settings.patience is not None else []
        return ", ".join(told)

    def full(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether it has all its trials; those of a study that it learns from are not its own."""
        return self.n_trials is not None and len(_own(trials)) >= self.n_trials

    def reached(self, trials: Sequence[FrozenTrial], found: Sequence[TrialRecord], at_work: Callable[[FrozenTrial], bool]) -> str:
        """Why no further trial is begun; empty where one is.

        Args:
            trials: Optuna's.
            found: the same as records.
            at_work: whether a process is at work on one of them now.
        """
        settings = self.settings
        kept = any(trial.feasible for trial in found)  # then a budget that others do not keep is no reason to give up
        failed = [trial for trial in trials if trial.state == TrialState.FAIL and not (kept and REFUSED in trial.user_attrs)]
        if len(failed) > settings.max_failures:
            return f"{len(failed)} trials failed (sweep.max_failures={settings.max_failures}), the last: {failed[-1].user_attrs.get(ERROR)}"
        if settings.minutes is not None and records.spent(_own(trials), datetime.now(), at_work) >= settings.minutes * 60:
            return f"the time was up (sweep.minutes={settings.minutes:g})"
        own = sum(trial.state.is_finished() for trial in _own(trials))
        if settings.patience is not None and min(own, records.since_better(found, settings.goals)) >= settings.patience:
            return f"{settings.patience} trials brought nothing better (sweep.patience)"
        if self.full(trials):
            return f"{self.n_trials} trials"
        tried = {tuple(trial.user_attrs[OVERRIDES]) for trial in trials if trial.state.is_finished() and OVERRIDES in trial.user_attrs}
        return "the whole space has been tried" if len(tried) >= self.points else ""


def _own(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if WARM not in trial.user_attrs]
