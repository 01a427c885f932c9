"""Drives a study: proposes trials, has them run, remembers what came out. Any number of processes may drive one study together."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tt_hydra.artifact.lock import FileLock
from tt_hydra.errors import BudgetError, ConfigError, Pruned, TTHydraError, interruption
from tt_hydra.sweep import records
from tt_hydra.sweep.attempts import Locks, begin, sign
from tt_hydra.sweep.earlier import learn
from tt_hydra.sweep.importance import Importance, importances
from tt_hydra.sweep.limits import Limits
from tt_hydra.sweep.objective import direction_of
from tt_hydra.sweep.plan import Job, Outcome, Plan
from tt_hydra.sweep.prune import Pruning
from tt_hydra.sweep.record import StudyRecord, TrialRecord
from tt_hydra.sweep.records import COMMAND, ERROR, FOLDER, MACHINE, METRICS, OVERRIDES, REFUSED, SAME_AS, SPANS
from tt_hydra.sweep.samplers import make_sampler, set_metric_names
from tt_hydra.sweep.space import Choice, Domain, Int, Value
from tt_hydra.sweep.starts import start_of
from tt_hydra.sweep.storage import acquire, described, held, open_storage, quieten
from tt_hydra.sweep.watching import MINUTES, PRUNING, Watching, find, to_environment

if TYPE_CHECKING:
    from tt_hydra.contracts import OperatingPoint  # which loads torch

logger = logging.getLogger(__name__)

PLAN = "plan"
"""Attribute of a study: what makes its trials comparable."""
MOST_ATTEMPTS = 5
"""Processes that may die over one trial before it counts as failed."""
STARTUP = 10
"""Trials at random before a sampler learns."""
UNKEYED = ("runtime.", "logger", "hydra.")
"""Overrides that change nothing of what trials come to."""


RunTrial = Callable[[Job], Outcome]
OnChange = Callable[[StudyRecord], None]


class Driver:
    """One process's part in a study.

    Args:
        plan: the study.

    Raises:
        ConfigError: a study of this name searches something else, or its storage cannot be opened.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._goals = plan.settings.goals
        self._limits = Limits(plan.settings, plan.n_trials, plan.space.size())
        self._pruning = Pruning(plan.settings.pruner, plan.settings.prune_after, plan.settings.prune_factor)
        self._locks = Locks(plan.folder, shared=plan.settings.storage is not None)
        self._points: dict[Path, Sequence[OperatingPoint]] = {}
        quieten()
        plan.folder.mkdir(parents=True, exist_ok=True)
        with self._gate():
            self._study = self._open()

    def work(self, run_trial: RunTrial, on_change: OnChange = lambda record: None) -> None:
        """Runs trials until the study ends.

        Args:
            run_trial: runs one; raises ``Pruned`` or any other error.
            on_change: told after each trial has begun or ended.

        Raises:
            ConfigError: no trial can have what the study aims at.
        """
        while (claim := self._claim()) is not None:
            trial, lock = claim
            try:
                self._publish(on_change)
                self._run(trial, run_trial)
            finally:
                lock.release()
            self._publish(on_change)

    def record(self) -> StudyRecord:
        """The study as it stands."""
        trials = self._records()
        settings, plan = self.plan.settings, self.plan
        return StudyRecord(
            name=settings.name,
            storage=described(settings.storage, plan.folder),
            folder=plan.folder,
            command=plan.command,
            objectives=self._goals,
            best=records.best_of(trials, self._goals),
            trials=trials,
            limits=self._limits.told(),
            stopped="" if any(trial.state == "running" for trial in trials) else self._reached(self._trials(), trials),
        )

    def importances(self) -> list[Importance]:
        """What mattered for each objective."""
        return importances(self._study, list(self._goals))

    def _gate(self) -> Any:
        return held(self._locks.of("gate"))

    def _publish(self, on_change: OnChange) -> None:
        with held(self._locks.of("publish")):
            on_change(self.record())

    def _open(self) -> optuna.Study:
        settings = self.plan.settings
        storage = open_storage(settings.storage, self.plan.folder)
        study = optuna.create_study(study_name=settings.name, storage=storage, directions=list(self._goals.values()), load_if_exists=True)
        mine = self._comparable()
        theirs = study.user_attrs.get(PLAN)
        if theirs is None:
            set_metric_names(study, list(self._goals))
            study.set_user_attr(PRUNING, asdict(self._pruning))
            if settings.warm_start is not None:
                learn(study, settings.warm_start, self.plan.space, mine)
            for start in settings.starts:
                study.enqueue_trial(start_of(self.plan.space, start))
            study.set_user_attr(PLAN, mine)
        elif theirs != mine:
            what = ", ".join(name for name in mine if mine[name] != theirs.get(name))
            raise ConfigError(
                f"the study {settings.name!r} in {described(settings.storage, self.plan.folder)} has another {what}: give the command "
                f"that it was started with, or another sweep.name (sweep.warm_start={self.plan.folder} learns from this one)"
            )
        study.set_user_attr(MINUTES, settings.minutes)
        return study

    def _comparable(self) -> dict[str, Any]:
        """What two studies must share for their trials to be compared."""
        shared = sorted(word for word in self.plan.shared if not word.lstrip("+~").startswith(UNKEYED))
        return {"space": self.plan.space.fingerprint(), "objectives": dict(self._goals), "settings": shared}

    def _trials(self) -> list[FrozenTrial]:
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def _records(self) -> list[TrialRecord]:
        return [records.record_of(trial, self._goals, self._locks.alive(trial), self._read_points) for trial in self._trials()]

    def _read_points(self, folder: Path) -> Sequence[OperatingPoint]:
        if folder not in self._points:
            self._points[folder] = self.plan.read_points(folder)
        return self._points[folder]

    def _reached(self, trials: Sequence[FrozenTrial], found: Sequence[TrialRecord]) -> str:
        return self._limits.reached(trials, found, self._locks.at_work)

    def _claim(self) -> tuple[optuna.Trial, FileLock] | None:
        """A trial that is this process's own: one whose process died, or a new one; None where the study has ended."""
        with self._gate():
            trials = self._trials()
            ended = self._reached(trials, self._records())
            fruitless = not any(trial.state == TrialState.COMPLETE for trial in trials)  # what was begun is then the only hope of a winner
            for dead in (trial for trial in trials if trial.state == TrialState.RUNNING and not self._locks.alive(trial)):
                claimed = self._take_over(dead) if not ended or fruitless or self._limits.full(trials) else None
                if claimed is not None:
                    return claimed
            return None if ended else self._begin(len(trials))

    def _take_over(self, dead: FrozenTrial) -> tuple[optuna.Trial, FileLock] | None:
        if len(dead.user_attrs.get(SPANS, ())) > MOST_ATTEMPTS:
            self._fail(find(self._study, dead.number), f"its process died {MOST_ATTEMPTS} times")
            return None
        lock = self._locks.of(dead.number)
        acquire(lock)  # nobody else takes it over: that happens behind the gate
        logger.info("trial %d was interrupted: going on with it", dead.number)
        self._study.sampler = self._sampler(dead.number)
        trial = find(self._study, dead.number)
        self._describe(trial)
        return trial, lock

    def _begin(self, number: int) -> tuple[optuna.Trial, FileLock]:
        self._study.sampler = self._sampler(number)
        trial = self._study.ask()
        lock = self._locks.of(trial.number)
        acquire(lock)
        self._describe(trial)
        return trial, lock

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        wanted = self.plan.n_trials
        startup = STARTUP if wanted is None else min(STARTUP, max(4, wanted // 3))
        return make_sampler(self.plan.settings.sampler, self.plan.seed, number, startup)

    def _describe(self, trial: optuna.Trial) -> None:
        begin(trial)
        plan = self.plan
        overrides = plan.space.overrides(plan.space.choose(lambda name, domain: _suggest(trial, name, domain)))
        trial.set_user_attr(FOLDER, str((plan.folder / str(trial.number)).absolute()))
        trial.set_user_attr(OVERRIDES, overrides)
        trial.set_user_attr(MACHINE, plan.machine)
        trial.set_user_attr(COMMAND, records.command_of(plan.program, plan.as_typed([*plan.machine, *plan.shared, *overrides])))

    def _run(self, trial: optuna.Trial, run_trial: RunTrial) -> None:
        settings = self.plan.settings
        overrides = find(self._study, trial.number).user_attrs[OVERRIDES]
        environment = to_environment(settings.storage, self.plan.folder, settings.name, trial.number)
        job = Job(trial.number, overrides, Watching(self._study, trial, self._pruning, settings.minutes, self._locks), environment)
        try:
            outcome = self._attempt(trial, job, run_trial)
        except Pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        except TTHydraError as error:
            if isinstance(error, BudgetError):
                trial.set_user_attr(REFUSED, True)
            self._fail(trial, str(error))
        except Exception as error:
            if interruption(error) is not None:
                raise
            logger.exception("trial %d", trial.number)
            self._fail(trial, f"{type(error).__name__}: {error}")
        else:
            self._complete(trial, outcome)

    def _attempt(self, trial: optuna.Trial, job: Job, run_trial: RunTrial) -> Outcome:
        """What a trial comes to; however that ends is the last sign of life."""
        try:
            return self._known(trial, job.overrides) or run_trial(job)
        finally:
            sign(trial)

    def _complete(self, trial: optuna.Trial, outcome: Outcome) -> None:
        missing = [key for key in self._goals if key not in outcome.metrics]
        if missing:
            self._fail(trial, f"its run has no figure {missing[0]!r}")
            aims = [key for key in outcome.metrics if "/ci_" not in key and direction_of(key) is not None]
            known = ", ".join(sorted(aims, key=lambda key: not key.startswith("valid/")))
            raise ConfigError(
                f"the runs have no figure {missing[0]!r} to aim at (sweep.objectives): valid/ figures need validation queries, all but "
                f"valid/ann/recall@10 their labels too; these runs have {known or 'none'}"
            )
        values = [outcome.metrics[key] for key in self._goals]
        if not all(math.isfinite(value) for value in values):
            self._fail(trial, f"figures that are no numbers: {dict(zip(self._goals, values, strict=True))}")
            return
        for key, over in outcome.constraints.items():
            trial.set_constraint(key, over)
        trial.set_user_attr(METRICS, dict(outcome.metrics))
        self._study.tell(trial, list(values))

    def _fail(self, trial: optuna.Trial, why: str) -> None:
        logger.error("trial %d failed: %s", trial.number, why)
        trial.set_user_attr(ERROR, why)
        self._study.tell(trial, state=TrialState.FAIL)

    def _known(self, trial: optuna.Trial, overrides: Sequence[str]) -> Outcome | None:
        """What a trial of the same values came to: it is not run again."""
        for other in self._trials():
            if other.state == TrialState.COMPLETE and other.user_attrs.get(OVERRIDES) == list(overrides):
                trial.set_user_attr(SAME_AS, other.number)
                trial.set_user_attr(FOLDER, other.user_attrs[FOLDER])
                logger.info("trial %d is the same as trial %d", trial.number, other.number)
                return Outcome(other.user_attrs[METRICS], other.constraints)
        return None


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Value:
    if isinstance(domain, Choice):
        return str(trial.suggest_categorical(name, domain.options))
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log, step=domain.step)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=domain.step)
