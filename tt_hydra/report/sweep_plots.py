"""The plots of a study, as plotly specifications without colours, and parallel coordinates as a drawing of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tt_hydra.report import figures
from tt_hydra.report.markup import Html, escape
from tt_hydra.report.plots import drawn
from tt_hydra.report.sweep_words import objective_value, shown
from tt_hydra.sweep.front import TrialPoint
from tt_hydra.sweep.objective import Direction
from tt_hydra.sweep.record import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from tt_hydra.sweep.importance import Importance

Spec = dict[str, Any]
WIDE = 30.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
FEW = 6
"""Different numbers up to which a key is drawn as a choice."""
SMALLEST, LARGEST = 7, 22
"""Diameters of the points with the fewest and the most bytes, pixels."""


def history(record: StudyRecord) -> list[Html]:
    """For each objective its value by trial, and the best so far."""
    found = []
    for place, (key, direction) in enumerate(record.objectives.items()):
        done = [trial for trial in record.trials if trial.state == "complete" and key in trial.values]
        if done:
            label = f"{key} of {len(done)} trials, from {objective_value(done[0].values[key])} to {objective_value(done[-1].values[key])}"
            note = "Each trial, and the best so far that keeps the limits."
            found.append(drawn(f"history-{place}", key, note, label, history_specification(done, key, direction)))
    return found


def history_specification(done: Sequence[TrialRecord], key: str, direction: Direction) -> Spec:
    """Points of the trials, those that pass a limit apart, and the best so far as steps."""
    better = max if direction == "maximize" else min
    best: list[tuple[int, float]] = []
    for trial in done:
        if trial.feasible:
            best.append((trial.number, better(trial.values[key], best[-1][1]) if best else trial.values[key]))
    feasible = [trial for trial in done if trial.feasible]
    others = [trial for trial in done if not trial.feasible]
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": [number for number, _ in best],
            "y": [value for _, value in best],
            "line": {"shape": "hv", "width": 2},
            "hoverinfo": "skip",
            "meta": {"colour": 1, "dash": "solid"},
        },
        _trials("trial", feasible, key, 0, "circle"),
        *([_trials("passes a limit", others, key, 0, "x")] if others else []),
    ]
    layout = {
        "xaxis": {"title": {"text": "trial"}, "tickformat": "d", **({"dtick": 1} if done[-1].number < 8 else {"nticks": 8})},
        "yaxis": {"tickformat": "~g", "nticks": 6},
        "hovermode": "closest",
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}


def _trials(name: str, trials: Sequence[TrialRecord], key: str, colour: int, symbol: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [trial.number for trial in trials],
        "y": [trial.values[key] for trial in trials],
        "text": [told(trial) for trial in trials],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 8, "symbol": symbol},
        "meta": {"colour": colour},
    }


def told(trial: TrialRecord) -> str:
    """What a trial says when it is pointed at."""
    values = [f"{escape(key)} {objective_value(value)}" for key, value in trial.values.items()]
    params = [f"{escape(key)}={escape(shown(value))}" for key, value in trial.params.items()]
    return "<br>".join([f"<b>trial {trial.number}</b>", *values, *params])


def trainings(record: StudyRecord) -> list[Html]:
    """Validation recall after each epoch of every trial."""
    curves = [trial for trial in record.trials if len(trial.curve) > 1]
    if not curves:
        return []
    traces = []
    for state, name, dash in (("complete", "complete", "solid"), ("pruned", "ended early", "dot"), ("running", "running", "dash")):
        for place, trial in enumerate(each for each in curves if each.state == state):
            best = trial.number in record.best[:1]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"best, trial {trial.number}" if best else name,
                    "showlegend": best or place == 0,
                    "x": list(range(1, len(trial.curve) + 1)),
                    "y": [value if math.isfinite(value) else None for value in trial.curve],
                    "line": {"width": 3 if best else 1.3},
                    "opacity": 1.0 if best else 0.55,
                    "hovertemplate": f"trial {trial.number}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                    "meta": {"colour": 1 if best else 0 if state == "complete" else 2, "dash": dash},
                }
            )
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "tickformat": "d", "nticks": 8},
        "yaxis": {"tickformat": "~g", "nticks": 6},
        "hovermode": "closest",
        "showlegend": True,
    }
    note = "Validation recall after each epoch; dotted where the training was ended early."
    label = f"Validation recall of {len(curves)} trainings"
    return [drawn("trainings", "Trainings", note, label, {"data": traces, "layout": layout})]


def importance_bars(found: Importance, place: int) -> Html:
    """The share of each key, the largest on top."""
    names = list(found.shares)[::-1]
    spec = {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [found.shares[name] for name in names],
                "y": names,
                "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
                "meta": {"colour": 0, "bar": True},
            }
        ],
        "layout": {
            "xaxis": {"tickformat": ".0%", "range": [0, 1], "nticks": 6},
            "yaxis": {"showgrid": False, "type": "category"},
            "hovermode": "closest",
            "showlegend": False,
            "height": 90 + 30 * len(names),
        },
    }
    label = f"{found.objective}: {', '.join(f'{name} {share:.0%}' for name, share in found.shares.items())}"
    note = f"{found.method} over {found.trials} complete trials" + (f"; {found.note}." if found.note else ".")
    return drawn(f"importance-{place}", found.objective, note, label, spec)


def slices(record: StudyRecord, keys: Sequence[str]) -> list[Html]:
    """The first objective by each key, later trials darker."""
    objective = next(iter(record.objectives))
    found = []
    for place, key in enumerate(keys):
        done = [trial for trial in record.trials if trial.state == "complete" and key in trial.params and objective in trial.values]
        if done:
            label = f"{objective} by {key} of {len(done)} trials"
            found.append(drawn(f"slice-{place}", key, "", label, slice_specification(done, key, objective)))
    return found


def slice_specification(done: Sequence[TrialRecord], key: str, objective: str) -> Spec:
    """A point for each trial."""
    values = [trial.params[key] for trial in done]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    numeric = len(numbers) == len(values) and len(set(numbers)) > FEW
    last = max(1, *(trial.number for trial in done))
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers if numeric else [shown(value) for value in values],
        "y": [trial.values[objective] for trial in done],
        "text": [told(trial) for trial in done],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": 8, "symbol": ["circle" if trial.feasible else "x" for trial in done]},
        "meta": {"colour": 0, "shares": [trial.number / last for trial in done]},
    }
    axis: Spec = {"type": "log", **_log_ticks(numbers)} if numeric and _is_wide(numbers) else {"nticks": 6}
    if not numeric:
        ordered = sorted(values, key=_order)
        axis = {"type": "category", "categoryorder": "array", "categoryarray": list(dict.fromkeys(map(shown, ordered)))}
    layout = {
        "xaxis": {"title": {"text": key}, **axis},
        "yaxis": {"tickformat": "~g", "nticks": 6},
        "hovermode": "closest",
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _order(value: object) -> tuple[bool, float, str]:
    """Numbers by size, then names."""
    number = float(value) if isinstance(value, int | float) else math.inf
    return number == math.inf, number, shown(value)


def _is_wide(numbers: Sequence[float]) -> bool:
    return min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE


def _log_ticks(numbers: Sequence[float]) -> Spec:
    """Every figure of a short stretch, 1, 2 and 5 of each power of ten, or 1 alone over many."""
    low, high = math.log10(min(numbers)) - 0.05, math.log10(max(numbers)) + 0.05
    factors = range(1, 10) if high - low < 0.6 else (1, 2, 5) if high - low < 2.2 else (1,)
    marks = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
    return {"tickvals": [mark for mark in marks if low <= math.log10(mark) <= high], "tickformat": "~g"}


def objectives_front(record: StudyRecord) -> list[Html]:
    """The first objective against each other one; the trials of the front filled."""
    first, *others = record.objectives
    done = [trial for trial in record.trials if trial.state == "complete" and len(trial.values) == len(record.objectives)]
    found = []
    for place, key in enumerate(others if done else ()):
        best = [trial for trial in done if trial.number in record.best]
        beaten = [trial for trial in done if trial.number not in record.best]
        traces = [
            {**_trials(name, trials, first, colour, symbol), "x": [trial.values[key] for trial in trials]}
            for name, trials, colour, symbol in (("on the front", best, 0, "circle"), ("others", beaten, 1, "circle-open"))
            if trials
        ]
        values = [trial.values[key] for trial in done]
        axis = {"type": "log", **_log_ticks(values)} if _is_wide(values) else {"nticks": 6, "tickformat": "~g"}
        layout = {
            "xaxis": {"title": {"text": key}, **axis},
            "yaxis": {"title": {"text": first}, "tickformat": "~g", "nticks": 6},
            "hovermode": "closest",
            "showlegend": True,
        }
        label = f"{first} against {key}: {len(best)} of {len(done)} trials are on the front"
        found.append(drawn(f"objectives-{place}", f"{first} and {key}", "", label, {"data": traces, "layout": layout}))
    return found


def points_front(points: Sequence[TrialPoint]) -> Html:
    """Recall against p99 of every index of every trial; the front filled, the size of a point its bytes."""
    sizes = [math.log(max(point.bytes_per_item, 1e-9)) for point in points]
    low, high = min(sizes), max(sizes)
    traces = []
    for kept, name, colour in ((True, "on the front", 0), (False, "beaten", 1)):
        chosen = [(point, size) for point, size in zip(points, sizes, strict=True) if point.on_front == kept]
        if chosen:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [point.p99_ms for point, _ in chosen],
                    "y": [point.quality for point, _ in chosen],
                    "text": [_point(point) for point, _ in chosen],
                    "hovertemplate": "%{text}<extra></extra>",
                    "marker": {
                        "size": [
                            round(SMALLEST + (LARGEST - SMALLEST) * ((size - low) / (high - low) if high > low else 0.3), 1)
                            for _, size in chosen
                        ],
                        "symbol": "circle" if kept else "circle-open",
                        "opacity": [0.9 if point.meets else 0.35 for point, _ in chosen],
                    },
                    "meta": {"colour": colour},
                }
            )
    layout = {
        "xaxis": {
            "type": "log",
            "title": {"text": "p99, milliseconds"},
            "fixedrange": False,
            **_log_ticks([point.p99_ms for point in points]),
        },
        "yaxis": {"title": {"text": "recall@10"}, "tickformat": "~g", "nticks": 7, "fixedrange": False},
        "hovermode": "closest",
        "showlegend": True,
        "height": 400,
    }
    best = max(points, key=lambda point: point.quality)
    label = f"Recall against p99 of {len(points)} indexes; the highest is of trial {best.trial}, {best.quality:.4f} at {best.p99_ms:.3g} ms"
    note = (
        "Validation queries, one at a time on one thread. The larger a point, the more bytes an item takes. "
        "Hollow: another point is as good in all three. Faint: over the budget. Drag to zoom, double-click to return."
    )
    return drawn("points", "Every index of every trial", note, label, {"data": traces, "layout": layout})


def _point(point: TrialPoint) -> str:
    return "<br>".join(
        [
            f"<b>trial {point.trial} {escape(point.name)}</b>".replace(" </b>", "</b>"),
            f"recall@10 {point.quality:.4f}",
            f"p99 {figures.milliseconds(point.p99_ms)}, {figures.size(point.bytes_per_item)} an item",
            escape(point.overrides),
        ]
    )
