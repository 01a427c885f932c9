"""Optuna's trials as records, and what follows from records alone: the best, the time spent, whether to go on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, TrialState

from tt_hydra.sweep.objective import Direction
from tt_hydra.sweep.record import INTERRUPTED, State, TrialRecord

if TYPE_CHECKING:
    from tt_hydra.contracts import OperatingPoint  # which loads torch

FOLDER, OVERRIDES, MACHINE, COMMAND = "folder", "overrides", "machine", "command"
METRICS, CURVE, ERROR = "metrics", "curve", "error"
SPANS, SAME_AS, WARM, REFUSED = "spans", "same_as", "warm", "refused"
"""Attributes of a trial; ``spans``: start and last sign of life of each process that was at work on it; ``warm``: it comes from an earlier
study; ``refused``: no index of it keeps the budget."""
STATES: Mapping[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
ReadPoints = Callable[[Path], Sequence["OperatingPoint"]]


def record_of(trial: FrozenTrial, goals: Mapping[str, Direction], alive: bool, read_points: ReadPoints) -> TrialRecord:
    """A trial as a plain value.

    Args:
        trial: any but a waiting one.
        goals: the study's objectives.
        alive: whether a process is at work on it.
        read_points: finds the operating points that a run left in its folder.
    """
    attributes, metrics = trial.user_attrs, dict(trial.user_attrs.get(METRICS, {}))
    state, error = STATES[trial.state], str(attributes.get(ERROR, ""))
    if state == "running" and not alive:
        state, error = "failed", INTERRUPTED
    folder = None if FOLDER not in attributes else Path(attributes[FOLDER])
    done = state == "complete"
    return TrialRecord(
        number=trial.number,
        state=state,
        params={name: readable(value) for name, value in trial.params.items()},
        overrides=list(attributes.get(OVERRIDES, ())),
        machine=list(attributes.get(MACHINE, ())),
        values=dict(zip(goals, trial.values, strict=True)) if done and trial.values is not None else {},
        metrics=metrics,
        constraints=dict(trial.constraints),
        curve=list(attributes.get(CURVE, ())),
        stages=stage_seconds(metrics),
        reused=[name for name in stage_seconds(metrics) if metrics.get(f"stage/{name}/reused") == 1.0],
        points=list(read_points(folder)) if done and folder is not None else (),
        started=None if trial.datetime_start is None else trial.datetime_start.astimezone(),
        seconds=spent([trial], datetime.now(), lambda _: alive),
        error=error,
        folder=folder,
        command=str(attributes.get(COMMAND, "")),
    )


def stage_seconds(metrics: Mapping[str, float]) -> dict[str, float]:
    """Seconds spent in each stage, 0 where it was reused; reports are no stage of a trial."""
    found = {}
    for key, seconds in metrics.items():
        kind, _, name = key.removesuffix("/seconds").partition("/")
        if kind == "stage" and key.endswith("/seconds") and name != "report":
            found[name] = 0.0 if metrics.get(f"stage/{name}/reused") == 1.0 else seconds
    return found


def readable(value: Any) -> object:
    """A value of the command line as a number where it is one."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return {"null": None, "true": True, "false": False}.get(value, value)


def command_of(program: Sequence[str], overrides: Sequence[str]) -> str:
    """The command line that runs a trial again."""
    return shlex.join([*program, *overrides])


def spent(trials: Sequence[FrozenTrial], now: datetime, at_work: Callable[[FrozenTrial], bool]) -> float:
    """Seconds in which at least one of the trials ran; what an interruption took is left out.

    Args:
        trials: any.
        now: until when a trial runs that a process is at work on; any other ran until the last sign of life of its last process.
        at_work: whether a process is.
    """
    spans = sorted(span for trial in trials for span in _spans(trial, now if at_work(trial) else None))
    seconds, reached = 0.0, datetime.min
    for start, end in spans:
        seconds += max((end - max(start, reached)).total_seconds(), 0.0)
        reached = max(end, reached)
    return seconds


def _spans(trial: FrozenTrial, until: datetime | None) -> list[tuple[datetime, datetime]]:
    """The attempts at a trial of the study's own; the last one lasts until ``until``, where that is known."""
    if WARM in trial.user_attrs:
        return []
    spans = [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in trial.user_attrs.get(SPANS, ())]
    return spans if until is None else [*spans[:-1], *((start, until) for start, _ in spans[-1:])]


def dominates(one: Mapping[str, float], other: Mapping[str, float], goals: Mapping[str, Direction]) -> bool:
    """Whether values are nowhere worse than others and somewhere better."""
    gains = [(one[key] - other[key]) * (1 if way == "maximize" else -1) for key, way in goals.items()]
    return min(gains) >= 0 and max(gains) > 0


def best_of(trials: Sequence[TrialRecord], goals: Mapping[str, Direction]) -> list[int]:
    """Numbers of the best feasible trials, by the first objective: one, or the front where there are several objectives."""
    feasible = [trial for trial in trials if trial.feasible]
    front = [trial for trial in feasible if not any(dominates(other.values, trial.values, goals) for other in feasible)]
    first, way = next(iter(goals.items()))
    ordered = sorted(front, key=lambda trial: (-trial.values[first] if way == "maximize" else trial.values[first], trial.number))
    return [trial.number for trial in (ordered[:1] if len(goals) == 1 else ordered)]


def since_better(trials: Sequence[TrialRecord], goals: Mapping[str, Direction]) -> int:
    """Finished trials since the last one that nothing before it equalled or beat."""
    front: list[Mapping[str, float]] = []
    since = 0
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "running":
            continue
        since += 1
        values = trial.values
        if trial.feasible and not any(dominates(known, values, goals) or dict(known) == dict(values) for known in front):
            front.append(values)
            since = 0
    return since
