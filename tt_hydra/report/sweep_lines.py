"""Parallel coordinates: an axis for each searched key and one for the objective, a line for each trial; drawn without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tt_hydra.report.markup import Html, element, escape, join
from tt_hydra.report.sweep_words import objective_value, shown
from tt_hydra.sweep.record import StudyRecord, TrialRecord

GAP, HEIGHT, TOP, BOTTOM, SIDE = 150, 300, 40, 30, 85
"""Pixels between axes, of an axis, above, below and beside all of them."""
MOST_AXES = 9
WIDE = 30.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
LABELS = 8
"""Categories that have room beside an axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        name: what stands above it.
        marks: texts beside it, each at a height from 0 to 1.
        heights: of the trials, by number.
    """

    name: str
    marks: Sequence[tuple[str, float]]
    heights: dict[int, float]


def parallel(record: StudyRecord, keys: Sequence[str]) -> Html:
    """The drawing; empty where there are not two trials and a key to tell apart."""
    objective = next(iter(record.objectives))
    done = [trial for trial in record.trials if trial.state == "complete" and objective in trial.values]
    values = {key: {trial.number: trial.params[key] for trial in done if key in trial.params} for key in keys}
    axes = [_axis(key, found) for key, found in values.items() if found][: MOST_AXES - 1]
    if len(done) < 2 or not axes:
        return Html("")
    axes.append(_axis(objective, {trial.number: trial.values[objective] for trial in done}))
    width, height = 2 * SIDE + GAP * (len(axes) - 1), TOP + HEIGHT + BOTTOM
    better = axes[-1].heights
    upwards = record.objectives[objective] == "maximize"
    order = sorted(done, key=lambda trial: better[trial.number] if upwards else -better[trial.number])
    shares = {trial.number: better[trial.number] if upwards else 1 - better[trial.number] for trial in done}
    lines = (_line(trial, axes, shares[trial.number], best=trial.number in record.best[:1]) for trial in order)
    svg = element(
        "svg",
        join(lines),
        join(_drawn_axis(axis, place) for place, axis in enumerate(axes)),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=f"{len(done)} trials over {', '.join(axis.name for axis in axes)}",
        class_="parallel",
    )
    return element("div", svg, class_="scroll", role="region", aria_label="Parallel coordinates", tabindex="0")


def _axis(name: str, values: dict[int, object]) -> Axis:
    numbers = {place: float(value) for place, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    if len(numbers) < len(values):
        return _categories(name, values)
    low, high = min(numbers.values()), max(numbers.values())
    wide = low > 0 and high / low >= WIDE
    ends = (math.log(low), math.log(high)) if wide else (low, high)
    heights = {place: _share(math.log(value) if wide else value, *ends) for place, value in numbers.items()}
    middle = math.exp(sum(ends) / 2) if wide else sum(ends) / 2
    marks = [(objective_value(low), 0.0), (objective_value(middle), 0.5), (objective_value(high), 1.0)]
    return Axis(name, marks if high > low else [(objective_value(low), 0.5)], heights)


def _categories(name: str, values: dict[int, object]) -> Axis:
    known = sorted({shown(value) for value in values.values()})
    heights = {text: _share(place, 0, len(known) - 1) for place, text in enumerate(known)}
    every = max(1, math.ceil(len(known) / LABELS))
    marks = [(text, height) for place, (text, height) in enumerate(heights.items()) if place % every == 0]
    return Axis(name, marks, {place: heights[shown(value)] for place, value in values.items()})


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _place(column: int, height: float) -> tuple[float, float]:
    return SIDE + GAP * column, TOP + HEIGHT * (1 - height)


def _line(trial: TrialRecord, axes: Sequence[Axis], share: float, *, best: bool) -> Html:
    """Through the axes of the keys that the trial has."""
    points = [_place(column, axis.heights[trial.number]) for column, axis in enumerate(axes) if trial.number in axis.heights]
    told = ", ".join(f"{key}={shown(value)}" for key, value in trial.params.items())
    values = ", ".join(f"{key} {objective_value(value)}" for key, value in trial.values.items())
    return element(
        "polyline",
        element("title", f"trial {trial.number}: {told}: {values}"),
        points=" ".join(f"{x:g},{y:.1f}" for x, y in points),
        style=f"--share:{100 * share:.0f}%",
        class_="best" if best else None,
    )


def _drawn_axis(axis: Axis, column: int) -> Html:
    x, top = _place(column, 1.0)
    parts = [element("line", x1=x, x2=x, y1=top, y2=TOP + HEIGHT)]
    name = axis.name if len(axis.name) <= 22 else f"…{axis.name[-21:]}"
    parts.append(element("text", element("title", axis.name), escape(name), x=x, y=TOP - 18, class_="name"))
    for text, height in axis.marks:
        short = text if len(text) <= 14 else f"{text[:13]}…"
        parts.append(element("text", short, x=x + 5, y=round(_place(column, height)[1] + 4, 1)))
    return element("g", *parts)
