"""A report on a service: a table for the terminal, and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tt_hydra.report import details
from tt_hydra.report.figures import MISSING
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.report.monitored import MonitorCheck, Monitored
from tt_hydra.report.page import Page, Part, command_line, render_page, write_page
from tt_hydra.report.plots import drawn
from tt_hydra.report.sections import section

STYLES = {"fine": "green", "alarm": "red", "too little": "dim"}
BADGES = {"fine": "badge good", "alarm": "badge bad", "too little": "badge"}
CARDS = ("recall@10", "p99 of total", "drift of queries", "drift of scores")
ROW_HEIGHT = 26


def monitor_table(found: Monitored) -> RenderableType:
    """A line for each check."""
    shown = Table(box=None, pad_edge=False)
    for name in ("", "state", "value", "95% interval", "limit", "seen"):
        shown.add_column(name, justify="left" if name in ("", "state") else "right", overflow="fold")
    for check in found.checks:
        state = Text(check.state, style=STYLES[check.state])
        shown.add_row(check.name, state, _value(check), _interval(check), _plain(check.limit, check.unit), f"{check.seen:,}")
    return shown


def write_monitor(found: Monitored, path: Path) -> None:
    """Writes the page, all or nothing."""
    write_page(render(found), path)


def render(found: Monitored) -> str:
    """The page as text."""
    alarms = [check for check in found.checks if check.state == "alarm"]
    title = f"{len(alarms)} alarm{'' if len(alarms) == 1 else 's'}" if alarms else "No alarm"
    header = element(
        "header",
        element("p", "tt_hydra monitor", class_="eyebrow"),
        element("h1", title),
        element("p", f"{found.bundle}, {found.queries:,} sampled queries", class_="note"),
        command_line(found.command),
    )
    notes = [*(f"{check.name}: {check.text}" for check in alarms), *found.notes]
    lead = [details.warnings(notes), section("headline", "Headline", _cards(found))]
    parts = [
        Part("checks", "Checks", "Checks", _checks(found)),
        Part("time", "Over time", "Over time", _over_time(found)),
        Part("drift", "Drift", "Drift", _drift(found)),
    ]
    return render_page(
        Page(title=title, header=header, lead=lead, parts=parts, with_plots=any("data-plot" in part.content for part in parts))
    )


def _cards(found: Monitored) -> Html:
    cards: list[Html] = []
    for check in found.checks:
        if check.name in CARDS:
            note = _interval(check) if check.low is not None else check.text
            parts = [element("span", check.name, class_="label"), element("strong", _value(check)), element("span", note, class_="note")]
            cards.append(element("li", *parts, class_="main" if not cards else None))
    return element("ul", *cards, class_="cards")


def _checks(found: Monitored) -> Html:
    rows = [
        [
            row_heading(check.name),
            element("td", element("span", check.state, class_=BADGES[check.state])),
            number(_value(check)),
            number(_interval(check)),
            number(_plain(check.limit, check.unit)),
            number(f"{check.seen:,}"),
            element("td", check.text, class_="words"),
        ]
        for check in found.checks
    ]
    headings = ["What", "State", *(number_heading(name) for name in ("Value", "95% interval", "Limit", "Seen")), "In words"]
    return table(headings, rows, caption="Checks", class_="dense")


def _over_time(found: Monitored) -> Html:
    series = found.series
    plots = []
    if any(value is not None for value in series.get("p99", ())):
        lines = {name: name for name in ("p50", "p95", "p99")}
        plots.append(drawn("latency", "Latency of sampled requests, ms", "", "Latency over time", _lines(series, lines)))
    if any(value is not None for value in series.get("recall", ())):
        lines = {"recall": "recall@10", "recall_low": "lower end", "recall_high": "upper end"}
        note = "Live queries against exact search of the same catalogue, with 95% Wilson intervals."
        plots.append(drawn("recall", "Recall@10", note, "Recall over time", _lines(series, lines)))
    return element("div", *plots, class_="plots") if plots else Html("")


def _lines(series: Mapping[str, Sequence[float | str | None]], names: Mapping[str, str]) -> dict[str, Any]:
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": label,
            "x": list(series["time"]),
            "y": list(series[key]),
            "meta": {"colour": place, "dash": ["solid", "dot", "dash"][place]},
            "hovertemplate": "%{y:.4g}",
        }
        for place, (key, label) in enumerate(names.items())
    ]
    return {
        "data": traces,
        "layout": {"xaxis": {"type": "date", "nticks": 5}, "yaxis": {"tickformat": "~g", "nticks": 6}, "showlegend": True},
    }


def _drift(found: Monitored) -> Html:
    if not found.drift:
        return Html("")
    names = list(found.drift)
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": [found.drift[name] for name in names],
        "y": names,
        "meta": {"colour": 0, "bar": True},
        "hovertemplate": "%{x:.2f} of its threshold<extra></extra>",
    }
    layout = {
        "xaxis": {"rangemode": "tozero", "nticks": 6},
        "yaxis": {"autorange": "reversed", "showgrid": False},
        "shapes": [{"type": "line", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "yref": "paper"}],
        "hovermode": "closest",
        "showlegend": False,
        "height": 90 + ROW_HEIGHT * len(names),
    }
    note = "Each test's statistic as a share of its threshold; beyond 1 is an alarm. Thresholds are resampled from the bundle's reference."
    label = "; ".join(f"{name} {value:.2f}" for name, value in found.drift.items())
    plot = drawn("drift", "Tests", "", label, {"data": [trace], "layout": layout})
    return join([element("p", note, class_="note"), element("div", plot, class_="plots")])


def _value(check: MonitorCheck) -> str:
    return _plain(check.value, check.unit)


def _interval(check: MonitorCheck) -> str:
    return MISSING if check.low is None else f"{_plain(check.low, '')} to {_plain(check.high, check.unit)}"


def _plain(value: float | None, unit: str) -> str:
    return MISSING if value is None else f"{value:.4g}{f' {unit}' if unit else ''}"
