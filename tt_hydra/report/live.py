"""A study as it runs: a table that redraws itself on a terminal, a line for each finished trial anywhere else."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from statistics import mean
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tt_hydra.report import figures
from tt_hydra.report.sweep_words import best_trial, counted, objective_value, shown
from tt_hydra.sweep.record import StudyRecord, TrialRecord

ROWS = 8
"""Trials that are shown: the running ones and the latest others."""
REDRAWN_PER_SECOND = 2
OURS = "tt_hydra"
ALWAYS_TOLD = ("tt_hydra.report.live", "tt_hydra.sweep")
"""Loggers whose information is shown beside the lines or above the table."""
STAGES = "tt_hydra.pipeline.session"
"""Logger that tells of stages: ``train ...``, ``train: reused, it took 3.1 s when it was built``."""
EPOCH = re.compile(r"(epoch \d+): ")
STYLES = {"running": "cyan", "pruned": "dim", "failed": "red", "complete": ""}

logger = logging.getLogger(__name__)


class LiveStudy:
    """Follows a study inside a ``with`` block: tells of its trials, and keeps the log lines of each trial off the screen.

    The lines still go to the log of the trial; warnings and errors are shown, and everything with ``hydra.verbose=true``.

    Args:
        n_trials: trials that it may have; None for no such limit.
        minutes: time that it may take; None for no such limit.
        console: where to; None for this process's standard error.
    """

    def __init__(self, n_trials: int | None, minutes: float | None, console: Console | None = None) -> None:
        self._n_trials = n_trials
        self._minutes = minutes
        self._console = console or Console(stderr=True)
        self._record: StudyRecord | None = None
        self._told: set[int] = set()
        self._seen = self._started = time.monotonic()
        self._hears = _Hears()
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=REDRAWN_PER_SECOND)

    def __enter__(self) -> LiveStudy:
        logging.getLogger(OURS).addHandler(self._hears)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger(OURS).removeHandler(self._hears)
        self._hears.unfilter()
        if self._live.is_started:
            self._live.stop()

    def on_change(self, record: StudyRecord) -> None:
        """Takes in that a trial has begun or ended."""
        first = self._record is None
        self._record, self._seen = record, time.monotonic()
        finished = [trial for trial in record.trials if trial.state != "running" and not trial.interrupted]
        ended = [trial for trial in finished if trial.number not in self._told]
        self._told |= {trial.number for trial in ended}
        if self._console.is_terminal:
            self._live.refresh()
            return
        if first and record.stopped:
            return
        if first and len(ended) > 1:
            logger.info("going on after %d trials: %s", len(ended), counted(record))
            return
        for trial in ended:
            logger.info("%s", line(record, trial))

    def _render(self) -> RenderableType:
        record = self._record
        if record is None:
            return Text("preparing the study ...")
        passed = time.monotonic() - self._seen
        return Group(study_table(record, self._hears.doing, passed), Text(self._state(record, passed)))

    def _state(self, record: StudyRecord, passed: float) -> str:
        """How far it is, the best so far, and about how long it still takes."""
        of = f" of {self._n_trials}" if self._n_trials is not None else ""
        parts = [f"{len(record.trials)}{of} trials: {counted(record)}"]
        best = best_trial(record)
        if best is not None:
            values = ", ".join(f"{key} {objective_value(value)}" for key, value in best.values.items())
            parts.append(f"best: trial {best.number}, {values}")
        left = time_left(record, self._n_trials, self._minutes, passed)
        if left is not None and not record.stopped:
            parts.append(f"about {figures.seconds(left)} left")
        return "; ".join(parts)


def line(record: StudyRecord, trial: TrialRecord) -> str:
    """A finished trial in one line: its figures, the best so far, its time, what it shared, what it searched."""
    values = ", ".join(f"{key} {objective_value(value)}" for key, value in trial.values.items())
    parts = [f"trial {trial.number} {trial.state}" + (f": {values}" if values else f": {_first_line(trial.error)}" if trial.error else "")]
    best = best_trial(record)
    if best is not None and trial.number in record.best:
        parts.append("the best so far" if len(record.objectives) == 1 else "on the front")
    elif best is not None:
        first = next(iter(record.objectives))
        parts.append(f"best {objective_value(best.values[first])} (trial {best.number})")
    if any(over > 0 for over in trial.constraints.values()):
        parts.append(f"passes {', '.join(name for name, over in trial.constraints.items() if over > 0)}")
    parts.append(figures.seconds(trial.seconds))
    if trial.reused:
        parts.append(f"reused {', '.join(trial.reused)}")
    settings = _settings(trial)
    return "; ".join(parts) + (f"; {settings}" if settings else "")


def study_table(record: StudyRecord, doing: str = "", passed: float = 0.0) -> Table:
    """The running trials, the best one and the latest others.

    Args:
        record: the study.
        doing: stage and epoch of the one trial that runs here.
        passed: seconds since the record was made.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    table.add_column("state", no_wrap=True)
    for key in record.objectives:
        table.add_column(key, justify="right", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("reused", overflow="fold")
    table.add_column("settings", overflow="fold")
    running = [trial for trial in record.trials if trial.state == "running"]
    for trial in _shown(record):
        alone = trial.state == "running" and len(running) == 1
        state = doing if alone and doing else "best" if trial.number in record.best else trial.state
        style = "bold green" if trial.number in record.best else STYLES[trial.state]
        seconds = trial.seconds + (passed if trial.state == "running" else 0.0)
        table.add_row(
            str(trial.number),
            Text(state),
            *(_value(trial, key, place) for place, key in enumerate(record.objectives)),
            figures.seconds(seconds),
            ", ".join(trial.reused),
            Text(_settings(trial) if not trial.error else f"{_settings(trial)} {_first_line(trial.error)}".strip()),
            style=style,
        )
    return table


def time_left(record: StudyRecord, n_trials: int | None, minutes: float | None, passed: float = 0.0) -> float | None:
    """Seconds until the first limit, at the pace of the finished trials; None where nothing says so.

    Args:
        record: the study.
        n_trials: trials that it may have.
        minutes: time that it may take.
        passed: seconds since the record was made.
    """
    found = []
    done = [trial.seconds for trial in record.trials if trial.state != "running"]
    running = [trial.seconds + passed for trial in record.trials if trial.state == "running"]
    side_by_side = max(1, len(running))
    if minutes is not None:
        found.append(minutes * 60 - (sum(done) + sum(running)) / side_by_side)
    if n_trials is not None and done:
        found.append((mean(done) * (n_trials - len(done)) - sum(min(each, mean(done)) for each in running)) / side_by_side)
    return max(0.0, min(found)) if found else None


def _shown(record: StudyRecord) -> Sequence[TrialRecord]:
    """In the order of their numbers."""
    wanted = [trial for trial in record.trials if trial.state == "running" or trial.number in record.best[:1]]
    others = [trial for trial in record.trials if trial not in wanted]
    chosen = {trial.number for trial in [*wanted, *others[len(others) - max(0, ROWS - len(wanted)) :]]}
    return [trial for trial in record.trials if trial.number in chosen]


def _value(trial: TrialRecord, key: str, place: int) -> str:
    """The objective; of a trial without one the validation recall of its last epoch."""
    if key in trial.values:
        return objective_value(trial.values[key])
    return f"({objective_value(trial.curve[-1])})" if trial.curve and place == 0 else figures.MISSING


def _settings(trial: TrialRecord) -> str:
    return " ".join(f"{key}={shown(value)}" for key, value in trial.params.items())


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


class _Hears(logging.Handler):
    """Hears of stages and epochs, and keeps information about single trials off the terminal, whoever sets the handlers anew."""

    def __init__(self) -> None:
        super().__init__()
        self.doing = ""
        self._quiet = _Quiet()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes in a record before any handler of the root logger sees it."""
        for handler in logging.getLogger().handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self._quiet)
        text = record.getMessage()
        epoch = EPOCH.match(text)
        if record.name == STAGES:
            self.doing = text.removesuffix(" ...").partition(",")[0]
        elif epoch is not None:
            self.doing = f"train, {epoch[1]}"

    def unfilter(self) -> None:
        """Lets everything through again."""
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self._quiet)


class _Quiet(logging.Filter):
    """Lets warnings through, and what is about the study."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        verbose = logging.getLogger().level <= logging.DEBUG
        return verbose or record.levelno > logging.INFO or record.name.startswith(ALWAYS_TOLD)
