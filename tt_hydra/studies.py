"""A ``--multirun`` that is a study: from the command line to trials, each of which is a run like any other."""

from __future__ import annotations

import logging
import math
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from tt_hydra.artifact.files import replace_text
from tt_hydra.config.arguments import as_typed, quote
from tt_hydra.config.commands import PATHS, TEXTS
from tt_hydra.config.environment import environment
from tt_hydra.config.overlay import overlay
from tt_hydra.config.paths import OwnOptions
from tt_hydra.config.problems import refuse
from tt_hydra.errors import GateError, TTHydraError
from tt_hydra.process import WORKER, Helpers
from tt_hydra.searches import Search, search_of

if TYPE_CHECKING:
    from tt_hydra.contracts import OperatingPoint
    from tt_hydra.sweep.plan import Job, Outcome
    from tt_hydra.sweep.record import StudyRecord, TrialRecord

logger = logging.getLogger(__name__)

ALWAYS = ("evaluate.parts=[valid]",)
"""What every trial is told: the test part is nobody's before the end."""
USUALLY = ("runtime.bundle=false", "runtime.report=false", "runtime.progress_bar=false")
"""What a trial is told unless the command line says otherwise: nobody looks at more of it than its figures."""
N_TRIALS = 20
"""Trials of a study that is told no limit."""
LAUNCHER = "hydra._internal.core_plugins.basic_launcher"
"""Logger that repeats every override of every trial."""
REPORT = "sweep.html"
"""The report of a study, in its folder."""
BEST = "best"
"""Folder and overlay of the winner."""
REPORTED_EVERY_SECONDS = 60.0
"""How often the report is written while the study runs; it always is at the end."""


def sweep(launcher: Launcher, loader: ConfigLoaderImpl, config: DictConfig, arguments: Sequence[str]) -> StudyRecord | None:
    """Runs a study to its end, or goes on with one; with ``check`` it only says what would be searched.

    Args:
        launcher: runs the jobs of a ``--multirun``.
        loader: where options are looked up.
        config: what Hydra composed without what is searched.
        arguments: overrides of the command line, Hydra's own included.

    Raises:
        ConfigError: it cannot work, or is another study than that of the same name.
        TTHydraError: no trial came to an end.
    """
    command = str(config.hydra.job.config_name)
    search, problems = search_of(loader, command, arguments)
    refuse(problems)
    if command != "run":
        print("\n".join([*(f"{each.name:32} {each.domain}" for each in search.space.parameters), "ok"]))
        return None
    return _Session(launcher, loader, config, search).run()


class _Session:
    """One process's way through a study."""

    def __init__(self, launcher: Launcher, loader: ConfigLoaderImpl, config: DictConfig, search: Search) -> None:
        from tt_hydra.sweep.plan import Plan  # noqa: PLC0415  # loads Optuna
        from tt_hydra.sweep.study import Driver  # noqa: PLC0415

        self._launcher = launcher
        self._loader = loader
        self._shared = search.shared
        self._settings = replace(search.settings, name=str(config.sweep.name))  # the same date as that of the folder
        self._folder = Path(config.hydra.sweep.dir).absolute()
        self._outputs = Path(config.runtime.outputs).absolute()
        self._allowed = tuple(config.runtime.allow_targets)
        self._helps = WORKER in os.environ
        n_trials = config.hydra.sweeper.n_trials
        self._own = OwnOptions.of(config.hydra)
        self._driver = Driver(
            Plan(
                settings=self._settings,
                space=search.space,
                folder=self._folder,
                n_trials=N_TRIALS if n_trials is None and self._settings.minutes is None else n_trials,
                seed=int(config.seed) if self._settings.seed is None else self._settings.seed,
                shared=search.shared,
                machine=_threads(self._settings.workers, search.shared),
                program=("python", "-m", "tt_hydra", *self._own.words()),
                as_typed=_typed,
                command=shlex.join(["python", "-m", "tt_hydra", *_typed([word for word in sys.argv[1:] if word != "--config-name=run"])]),
                read_points=_points,
            )
        )
        self._n_trials = self._driver.plan.n_trials
        self._report = self._folder / REPORT
        self._reported = -math.inf
        self._listeners: list[Callable[[StudyRecord], None]] = [self._write_best]
        if not self._helps:
            self._listeners.append(self._keep_report)

    def run(self) -> StudyRecord:
        """Works on the study until it ends; the process that a person started also runs the winner in full."""
        again = [f"sweep.name={quote(self._settings.name)}", f"hydra.sweep.dir={quote(str(self._folder))}"]
        try:
            with self._followed():
                with Helpers(0 if self._helps else self._settings.workers - 1, again, self._folder):
                    self._driver.work(self._run_trial, self._changed)
                record = self._driver.record()
                if self._settings.workers > 1 and not self._helps:
                    self._changed(record)  # what the helpers did last
            if not self._helps:
                self._write_report(record)
                if record.stopped:
                    self._conclude(record)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(again[0])
            raise
        return record

    def _run_trial(self, job: Job) -> Outcome:
        from tt_hydra.index.budget import Budget  # noqa: PLC0415
        from tt_hydra.pipeline.limits import excess  # noqa: PLC0415
        from tt_hydra.sweep.current import TRIAL, in_trial  # noqa: PLC0415
        from tt_hydra.sweep.plan import Outcome  # noqa: PLC0415

        logger.info("trial %d: %s", job.number, " ".join(job.overrides))
        with in_trial(job.watch), environment(TRIAL, job.environment):
            done = self._launch([*USUALLY, *self._timing(), *self._driver.plan.machine, *self._shared, *job.overrides, *ALWAYS], job.number)
        metrics: Mapping[str, float] = done.return_value
        assert done.cfg is not None
        return Outcome(metrics, excess(Budget(**done.cfg.budget), metrics))

    def _timing(self) -> list[str]:
        """The query tower is timed where somebody asks for it: that takes longer than all else of a trial that trains nothing."""
        return [] if any(key.startswith("query/") for key in self._settings.objectives) else ["evaluate.time_queries=false"]

    def _launch(self, overrides: Sequence[str], number: int, subdir: str = "") -> JobReturn:
        moved = [f"hydra.sweep.dir={quote(str(self._folder))}", *([f"hydra.sweep.subdir={subdir}"] if subdir else [])]
        logging.getLogger(LAUNCHER).setLevel(logging.WARNING)
        (done,) = self._launcher.launch([[*overrides, *moved]], initial_job_idx=number)
        if isinstance(done._return_value, Exception):  # what it returns when asked prints a line of its own
            raise done._return_value
        return done

    def _changed(self, record: StudyRecord) -> None:
        for listener in self._listeners:
            listener(record)

    @contextmanager
    def _followed(self) -> Iterator[None]:
        """Inside the block a person sees how the study goes; what a helper says is in its log."""
        if self._helps:
            yield
            return
        from tt_hydra.report.live import LiveStudy  # noqa: PLC0415

        with LiveStudy(self._n_trials, self._settings.minutes) as live:
            self._listeners.append(live.on_change)
            yield

    def _keep_report(self, record: StudyRecord) -> None:
        """Writes the report now and then: it takes seconds, which the trials of an index alone do not."""
        if time.monotonic() - self._reported > REPORTED_EVERY_SECONDS and any(trial.state != "running" for trial in record.trials):
            self._write_report(record)

    def _write_report(self, record: StudyRecord) -> None:
        from tt_hydra.report.sweep import write_sweep  # noqa: PLC0415

        write_sweep(record, self._driver.importances(), self._report)
        self._reported = time.monotonic()

    def _write_best(self, record: StudyRecord) -> None:
        """Keeps the overlay of the best trial up to date, as a file and as an option of the group ``experiment``."""
        best = _best(record)
        if best is None:
            return
        figures = ", ".join(f"{key} {value:.4g}" for key, value in best.values.items())
        own = OwnOptions((*self._own.folders, str(self._folder)), self._own.places)
        use = shlex.join(["python", "-m", "tt_hydra", *own.words(), f"experiment={BEST}", *best.machine])
        content = overlay(
            self._loader, [*self._shared, *best.overrides], [f"Trial {best.number} of {record.name}: {figures}", f"Example: {use}"]
        )
        for path in (self._folder / f"{BEST}.yaml", self._folder / "experiment" / f"{BEST}.yaml"):
            if not path.exists() or path.read_text(encoding="utf-8") != content:
                path.parent.mkdir(exist_ok=True)
                replace_text(path, content)

    def _conclude(self, record: StudyRecord) -> None:
        """Says how it ended, and runs the winner in full."""
        logger.info("the study ended: %s", record.stopped)
        best = _best(record)
        if best is None:
            raise TTHydraError(_nothing(record))
        if self._settings.final:
            self._run_winner(best)
        if self._settings.publish:
            self._publish()
        told = ", ".join(f"{key} {value:.4f}" for key, value in best.values.items())
        print(f"best: trial {best.number}, {told}: {' '.join(best.overrides)}\n{best.command}\n{self._folder / f'{BEST}.yaml'}")
        print(self._report)

    def _run_winner(self, best: TrialRecord) -> None:
        folder = self._folder / BEST
        words = [*best.machine, *self._shared, *best.overrides]
        told = folder / ".hydra" / "overrides.yaml"
        if (folder / "metrics.json").exists() and told.exists() and OmegaConf.load(told) == words:
            return
        shutil.rmtree(folder, ignore_errors=True)
        self._launch(words, best.number, BEST)

    def _publish(self) -> None:
        """Makes the winner's bundle the current version unless the gate refuses it, or had nothing to compare; neither ends the study."""
        from tt_hydra.artifact.bundle import Bundle  # noqa: PLC0415
        from tt_hydra.artifact.registry import Registry  # noqa: PLC0415
        from tt_hydra.pipeline.publish import Gate, ensure  # noqa: PLC0415

        registry = Registry.under(self._outputs)
        folder = self._folder / BEST / "bundle"
        try:
            version = ensure(registry, Bundle.load(folder), Gate(), allow=self._allowed, compared=True)
        except GateError as refusal:
            logger.warning("%s. By hand: %s", refusal, self._publishing(folder))
            return
        except TTHydraError as error:
            logger.warning("the winner is not published: %s", error)
            return
        logger.info("bundle=current is now version %d of %s", version.number, registry.folder)

    def _publishing(self, bundle: Path) -> str:
        """The command line that publishes a bundle where this study would."""
        words = [f"publish={bundle}"]
        if self._outputs != Path(os.environ.get("TT_HYDRA_OUTPUTS", "outputs")).absolute():
            words.append(f"outputs={quote(str(self._outputs))}")
        if self._allowed:
            words.append(f"allow_targets=[{','.join(self._allowed)}]")
        return shlex.join(["python", "-m", "tt_hydra", "versions", *words])


def _typed(words: Sequence[str]) -> list[str]:
    return as_typed(words, TEXTS, PATHS)


def _threads(workers: int, shared: Sequence[str]) -> tuple[str, ...]:
    """Processes on one machine share its cores, unless somebody has said how many each takes."""
    if workers == 1 or any(word.lstrip("+").startswith("runtime.threads=") for word in shared):
        return ()
    return (f"runtime.threads={max(1, (os.cpu_count() or 1) // workers)}",)


def _points(folder: Path) -> list[OperatingPoint]:
    """The indexes that a run tried, where it chose its own."""
    from tt_hydra.index.tune.frontier import read_frontier  # noqa: PLC0415

    return read_frontier(folder)


def _best(record: StudyRecord) -> TrialRecord | None:
    return next((trial for trial in record.trials if record.best and trial.number == record.best[0]), None)


def _nothing(record: StudyRecord) -> str:
    """Why a study has no winner."""
    complete = [trial for trial in record.trials if trial.state == "complete"]
    if not complete:
        errors = [trial.error for trial in record.trials if trial.error]
        return f"no trial of {record.name} was completed ({record.stopped})" + (f"; the last said: {errors[-1]}" if errors else "")
    nearest = min(complete, key=lambda trial: sum(max(over, 0.0) for over in trial.constraints.values()))
    passed = ", ".join(f"{name} by {over:.4g}" for name, over in nearest.constraints.items() if over > 0)
    return f"no trial of {record.name} keeps the budget; trial {nearest.number} comes nearest and passes {passed}"
