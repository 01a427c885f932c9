"""The attempts at a trial: the stamps that they leave, and which process is at work on it now."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from tt_hydra.artifact.lock import FileLock
from tt_hydra.sweep.records import FOLDER, SPANS

LOCKS = ".locks"


def begin(trial: optuna.Trial) -> None:
    """Stamps that a process sets to work on a trial."""
    now = datetime.now().isoformat()
    trial.set_user_attr(SPANS, [*trial.user_attrs.get(SPANS, ()), [now, now]])


def sign(trial: optuna.Trial) -> None:
    """Stamps a sign of life: if the process is killed, its attempt lasted until the last one."""
    *earlier, (start, _) = trial.user_attrs[SPANS]
    trial.set_user_attr(SPANS, [*earlier, [start, datetime.now().isoformat()]])


class Locks:
    """Locks of a study's processes, which end with whoever holds them.

    Args:
        folder: of the study.
        shared: whether processes on other machines, with folders of their own, may work on it too.
    """

    def __init__(self, folder: Path, shared: bool) -> None:
        self._folder = folder / LOCKS
        self._shared = shared

    def of(self, what: str | int) -> FileLock:
        """The lock of a trial, by its number, or of what processes do one after the other."""
        return FileLock(self._folder / str(what))

    def at_work(self, trial: FrozenTrial) -> bool:
        """Whether a process that shares this folder is at work on a trial."""
        lock = self.of(trial.number)
        if trial.state != TrialState.RUNNING or not lock.path.exists():
            return False
        free = lock.try_shared()
        lock.release()
        return not free

    def alive(self, trial: FrozenTrial) -> bool:
        """Whether some process is at work on a trial; one on another machine may be."""
        return self.at_work(trial) or (trial.state == TrialState.RUNNING and self._elsewhere(trial))

    def _elsewhere(self, trial: FrozenTrial) -> bool:
        """Whether a trial without a lock is that of another machine: whoever begins one here does it behind the gate."""
        return self._shared and FOLDER in trial.user_attrs and not self.of(trial.number).path.exists()
