"""The part of the page that shows every index that was tried: recall against latency and bytes, and why one was chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tt_hydra.contracts import Measurement, OperatingPoint
from tt_hydra.report import figures
from tt_hydra.report.figures import MISSING, Figure
from tt_hydra.report.markup import Html, element, escape, join, number, number_heading, row_heading, table
from tt_hydra.report.plots import drawn

Points = Sequence[OperatingPoint]
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
SMALLEST, LARGEST = 7, 20
"""Diameters of the points with the fewest and the most bytes, pixels."""
NAMES = {
    "latency_p99_ms": "p99 at most {} ms",
    "bytes_per_item": "at most {} bytes an item",
    "bytes_total": "at most {} bytes in all",
    "build_s": "built in at most {} s",
    "recall_vs_exact": "recall@10 against exact search at least {}",
}


def frontier(points: Points, budget: Mapping[str, float]) -> Html:
    """The plot, the reason for the choice, the points on the front, and all others.

    Args:
        points: as measured.
        budget: its limits by name, those that were set.
    """
    if not points:
        return Html("")
    chosen = next((point for point in points if point.chosen), None)
    parts = []
    if chosen is not None:
        why = f": {chosen.reason}" if chosen.reason else ""
        parts.append(element("p", "Chosen: ", element("strong", chosen.name), f"{why.rstrip('.')}."))
        parts += _again(chosen, points)
    if budget:
        limits = "; ".join(NAMES[name].format(figures.plain(limit)) for name, limit in budget.items())
        met = sum(point.meets for point in points)
        parts.append(element("p", f"Budget: {limits}. {met} of {len(points)} points keep it.", class_="note"))
    parts.append(element("div", _figure(_comparable(points), budget), class_="plots"))
    front = [point for point in points if point.on_front or point.chosen]
    if front:
        beaten = chosen is not None and not chosen.on_front
        parts.append(_table(front, f"{'The choice and the operating' if beaten else 'Operating'} points on the front"))
    others = [point for point in points if point not in front]
    if others:
        title = f"{len(others)} {'point' if len(others) == 1 else 'points'} that another one beats"
        parts.append(element("details", element("summary", title), _table(others, "Operating points that are beaten")))
    return join(parts)


def _again(chosen: OperatingPoint, points: Points) -> list[Html]:
    """What the choice rests on: the figures on fresh queries, beside those that it is drawn with."""
    if chosen.fresh is None:
        return []
    again = sum(point.fresh is not None for point in points)
    fresh, gap = chosen.fresh, chosen.recall.value - chosen.fresh.recall.value
    among = "after it was measured again" if again == 1 else f"among {again} points that were measured again"
    told = (
        f"It was chosen {among}, on fresh queries: {_measured(fresh)}. All points are shown by the queries for tuning, this one with "
        f"{_measured(chosen)}. Winner's curse, recall there less recall on fresh queries: {gap:.4f}."
    )
    front = "recall@10 through the index" if _labelled(points) else "recall on the queries for tuning"
    off = "" if chosen.on_front else f" It is off the front, which is of {front}: the choice is by recall against exact on fresh queries."
    return [element("p", told, off, class_="note")]


def _measured(measured: OperatingPoint | Measurement) -> str:
    recall = measured.recall
    return f"recall {recall.value:.4f} ({recall.low:.4f} – {recall.high:.4f}) against exact, p99 {figures.milliseconds(measured.p99_ms)}"


def _figure(points: Points, budget: Mapping[str, float]) -> Html:
    named = "Recall@10 through the index" if _labelled(points) else "Recall@10 against exact search"
    note = (
        "Validation queries for tuning, one at a time on one thread. The larger a point, the more bytes an item takes. "
        "Hollow: another point is as good in all three. Faint: over the budget. Drag to zoom, double-click to return."
    )
    best = max(points, key=_height)
    label = f"{named} against p99 of {len(points)} indexes; the highest is {best.name}, {_height(best):.4f} at {best.p99_ms:.3g} ms"
    return drawn("frontier", f"{named} and latency", note, label, specification(points, budget))


def specification(points: Points, budget: Mapping[str, float]) -> dict[str, Any]:
    """Plotly's data and layout: a trace for each family, the best recall for its latency as a line, the choice, the limits."""
    families = list(dict.fromkeys(point.family for point in points))
    traces = [
        _line(points),
        *(_family([point for point in points if point.family == name], place, points) for place, name in enumerate(families)),
    ]
    title = "recall@10 through the index" if _labelled(points) else "recall@10 against exact search"
    layout: dict[str, Any] = {
        "xaxis": {"type": "log", "title": {"text": "p99, milliseconds"}, "fixedrange": False, "tickformat": "~g", **_ticks(points, budget)},
        "yaxis": {"title": {"text": title}, "fixedrange": False, "tickformat": "~g", "nticks": 7},
        "hovermode": "closest",
        "height": 420,
        "showlegend": True,
        "shapes": _limits(points, budget),
    }
    chosen = next((point for point in points if point.chosen), None)
    if chosen is not None:
        layout["annotations"] = [
            {
                "x": math.log10(chosen.p99_ms),
                "y": _height(chosen),
                "text": "chosen",
                "showarrow": True,
                "arrowhead": 0,
                "ax": -34,
                "ay": -30,
            }
        ]
    return {"data": traces, "layout": layout}


def _comparable(points: Points) -> Points:
    """The points by one figure: without the quality that only some have."""
    return points if _labelled(points) else [replace(point, quality=None) for point in points]


def _labelled(points: Points) -> bool:
    return all(point.quality is not None for point in points)


def _height(point: OperatingPoint) -> float:
    return point.recall.value if point.quality is None else point.quality


def _line(points: Points) -> dict[str, Any]:
    """The highest recall that any point of at most that latency has."""
    steps: list[OperatingPoint] = []
    for point in sorted(points, key=lambda point: (point.p99_ms, -_height(point))):
        if not steps or _height(point) > _height(steps[-1]):
            steps.append(point)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best for its latency",
        "x": [point.p99_ms for point in steps],
        "y": [_height(point) for point in steps],
        "line": {"shape": "hv", "width": 1.5},
        "hoverinfo": "skip",
        "meta": {"colour": 0, "dash": "dot"},
    }


def _family(points: Points, place: int, every: Points) -> dict[str, Any]:
    symbol = SYMBOLS[place % len(SYMBOLS)]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": points[0].family,
        "x": [point.p99_ms for point in points],
        "y": [_height(point) for point in points],
        "text": [_told(point) for point in points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": [symbol if point.on_front else f"{symbol}-open" for point in points],
            "size": [_diameter(point, every) for point in points],
            "opacity": [0.9 if point.meets else 0.3 for point in points],
            "line": {"width": [0 if point.on_front else 1.5 for point in points]},
        },
        "meta": {"colour": place % len(SYMBOLS)},
    }


def _diameter(point: OperatingPoint, every: Points) -> float:
    """Grows with the logarithm of its bytes."""
    sizes = [math.log(max(each.bytes_per_item, 1e-9)) for each in every]
    low, high = min(sizes), max(sizes)
    share = (math.log(max(point.bytes_per_item, 1e-9)) - low) / (high - low) if high > low else 0.0
    return round(SMALLEST + share * (LARGEST - SMALLEST), 1)


def _told(point: OperatingPoint) -> str:
    """What a point says when it is pointed at."""
    quality = [] if point.quality is None else [f"recall@10 {point.quality:.4f}"]
    lines = [
        f"<b>{escape(point.name)}</b>",
        *quality,
        _measured(point),
        f"p50 {figures.milliseconds(point.p50_ms)}",
        *([] if point.fresh is None else [f"on fresh queries: {_measured(point.fresh)}"]),
        f"{point.dim} dimensions, {figures.size(point.bytes_per_item)} an item, built in {figures.seconds(point.build_s)}",
        *([escape(point.reason)] if point.reason else []),
    ]
    return "<br>".join(lines)


def _limits(points: Points, budget: Mapping[str, float]) -> list[dict[str, Any]]:
    """The limits that are places on an axis: p99; the recall kept, where that is what is drawn."""
    shapes = []
    if "latency_p99_ms" in budget:
        limit = budget["latency_p99_ms"]
        shapes.append({"type": "line", "x0": limit, "x1": limit, "y0": 0, "y1": 1, "yref": "paper"})
    if "recall_vs_exact" in budget and not _labelled(points):
        limit = budget["recall_vs_exact"]
        shapes.append({"type": "line", "y0": limit, "y1": limit, "x0": 0, "x1": 1, "xref": "paper"})
    return shapes


def _ticks(points: Points, budget: Mapping[str, float]) -> dict[str, Any]:
    """1, 2 and 5 of each power of ten, and room on both sides for what the points leave out."""
    values = [point.p99_ms for point in points] + [budget[name] for name in ("latency_p99_ms",) if name in budget]
    low, high = math.log10(min(values)) - 0.12, math.log10(max(values)) + 0.12
    marks = [factor * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for factor in (1, 2, 5)]
    return {"range": [low, high], "tickvals": [mark for mark in marks if low <= math.log10(mark) <= high]}


def _table(points: Points, caption: str) -> Html:
    ordered = sorted(points, key=lambda point: (not point.chosen, point.p99_ms))
    with_quality = any(point.quality is not None for point in ordered)
    headings: list[str | Html] = ["Index", *([number_heading("Recall@10")] if with_quality else [])]
    headings += [number_heading("Against exact"), number_heading("p99"), number_heading("Bytes an item"), number_heading("Build")]
    rows = [_row(point, with_quality=with_quality) for point in ordered]
    return table(headings, rows, caption=caption, class_="dense points")


def _row(point: OperatingPoint, *, with_quality: bool) -> list[Html]:
    badges = [
        *([element("span", "chosen", class_="badge good")] if point.chosen else []),
        *([element("span", "over budget", class_="badge bad")] if not point.meets else []),
    ]
    why = element("span", point.reason, class_="note why") if point.reason and not point.chosen else ""
    name = row_heading(point.name, " ", join(badges, " "), element("code", point.overrides, class_="made"), why)
    found = Figure(point.recall.value, point.recall.low, point.recall.high)
    quality = [number(MISSING if point.quality is None else figures.share(point.quality))] if with_quality else []
    fresh = [] if point.fresh is None else [_fresh(figures.share(point.fresh.recall.value))]
    exact = number(join([figures.share(found.value), element("span", figures.interval(found), class_="ends"), *fresh]))
    times = [figures.milliseconds(point.p99_ms), *([] if point.fresh is None else [_fresh(figures.milliseconds(point.fresh.p99_ms))])]
    resident = point.resident_bytes_per_item
    memory = "" if resident is None else element("span", f"{figures.size(resident)} resident", class_="ends")
    return [
        name,
        *quality,
        exact,
        number(join(times)),
        number(join([figures.size(point.bytes_per_item), memory])),
        number(figures.seconds(point.build_s)),
    ]


def _fresh(text: str) -> Html:
    return element("span", f"fresh {text}", class_="ends")
