"""A study in words: how it stands, what mattered, what it saved."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from tt_hydra.report import figures
from tt_hydra.sweep.record import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from tt_hydra.sweep.importance import Importance

STATES = ("running", "complete", "pruned", "failed")
LITTLE = 0.05
"""Share of the variance below which a key is not named."""


def best_trial(record: StudyRecord) -> TrialRecord | None:
    """The best trial by the first objective; None where no trial is good enough."""
    numbers = {trial.number: trial for trial in record.trials}
    return next((numbers[number] for number in record.best if number in numbers), None)


def counted(record: StudyRecord) -> str:
    """How many trials are in which state: ``12 complete, 3 pruned``."""
    counts: Counter[str] = Counter(trial.state for trial in record.trials)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no trial yet"


def ending(record: StudyRecord) -> str:
    """What ended the study, or what will."""
    if record.stopped:
        return f"The study has ended: {record.stopped.rstrip('.')}."
    return f"The study has not ended; it will after {record.limits}." if record.limits else "The study has not ended."


def saved(trials: Sequence[TrialRecord]) -> tuple[int, int]:
    """Stages that were reused, and all stages."""
    return sum(len(trial.reused) for trial in trials), sum(len(trial.stages) for trial in trials)


def mattered(record: StudyRecord, importances: Sequence[Importance]) -> list[str]:
    """A sentence for each objective: which keys explain it, and where their best values lie."""
    return [_sentence(record, each) for each in importances]


def _sentence(record: StudyRecord, found: Importance) -> str:
    if not found.shares:
        return f"What mattered for {found.objective} cannot be told: {found.note}."
    named = [(name, share) for name, share in found.shares.items() if share >= LITTLE] or list(found.shares.items())[:1]
    (first, share), *others = named
    told = f"{first} mattered most for {found.objective}: {share:.0%} of what {found.method} can explain"
    if others:
        told += ", then " + ", ".join(f"{name} ({part:.0%})" for name, part in others)
    rest = len(found.shares) - len(named)
    if rest:
        told += "; " + ("the other key" if rest == 1 else f"the other {rest} keys") + " hardly mattered"
    return f"{told}.{_where(record, found.objective, first)}"


def _where(record: StudyRecord, objective: str, key: str) -> str:
    """Where the best quarter of the trials has the key, next to all of them."""
    done = [trial for trial in record.trials if trial.state == "complete" and key in trial.params and objective in trial.values]
    sign = -1 if record.objectives.get(objective) == "maximize" else 1
    ordered = sorted(done, key=lambda trial: sign * trial.values[objective])
    best = [trial.params[key] for trial in ordered[: max(2, math.ceil(len(ordered) / 4))]]
    numbers = [value for value in best if isinstance(value, int | float) and not isinstance(value, bool)]
    if not best:
        return ""
    if len(numbers) == len(best):
        low, high = shown(min(numbers)), shown(max(numbers))
        return f" The best quarter of the trials has it {'at ' + low if low == high else f'from {low} to {high}'}."
    name, times = Counter(map(shown, best)).most_common(1)[0]
    return f" {times} of the {len(best)} best trials have {name}."


def gain(record: StudyRecord) -> str:
    """How far the best trial is ahead of the middle one, in the first objective; empty where there is no middle."""
    best, objective = best_trial(record), next(iter(record.objectives), "")
    values = [trial.values[objective] for trial in record.trials if trial.state == "complete" and objective in trial.values]
    if best is None or objective not in best.values or len(values) < 3:
        return ""
    return f"{best.values[objective] - median(values):+.4g} against the median of {len(values)} trials"


def shown(value: object) -> str:
    """A value of a searched key."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def objective_value(value: float) -> str:
    """A value of an objective: shares to four decimals, others to six digits."""
    return figures.share(value) if 0 < abs(value) < 1 else figures.plain(value)
