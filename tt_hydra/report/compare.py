"""A comparison of runs: a table for the terminal, and a page with the differences drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tt_hydra.contracts import Estimate
from tt_hydra.report import details, figures
from tt_hydra.report.comparison import Comparison, QualityRow, signed, verdict
from tt_hydra.report.figures import MISSING, SPLITS
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.report.page import Page, Part, command_line, render_page, write_page
from tt_hydra.report.plots import drawn
from tt_hydra.report.sections import section

STYLES = {"better": "green", "worse": "red", "": "dim"}
BADGES = {"better": "badge good", "worse": "badge bad"}
UNTOLD = "not told apart"
ROW_HEIGHT = 20
"""Pixels that one interval takes in the plot."""
SERIES = 6
"""Colours that there are."""


def comparison_table(comparison: Comparison) -> RenderableType:
    """The runs, the settings that differ, each metric with the interval of its difference, and what the runs cost."""
    parts: list[RenderableType] = [_runs(comparison)]
    if comparison.settings:
        parts += ["", _columns("settings that differ", comparison, [(key, values) for key, values in comparison.settings.items()])]
    parts += ["", Text(_measured(comparison), style="bold"), _quality(comparison)]
    costs = [(key, [figures.plain(value) for value in values]) for key, values in comparison.costs.items() if not key.startswith("stage/")]
    if costs:
        parts += ["", _columns("figures without queries", comparison, costs)]
    return Group(*parts)


def _runs(comparison: Comparison) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for run in comparison.runs:
        grid.add_row(Text(run.letter, style="bold"), Text(run.name), Text(str(run.folder), style="dim"))
    return grid


def _columns(title: str, comparison: Comparison, rows: Sequence[tuple[str, Sequence[str]]]) -> Table:
    shown = Table(box=None, pad_edge=False)
    shown.add_column(title, overflow="fold")
    for run in comparison.runs:
        shown.add_column(run.letter, overflow="fold")
    for key, values in rows:
        shown.add_row(Text(key), *map(Text, values))
    return shown


def _quality(comparison: Comparison) -> Table:
    first, *others = comparison.runs
    shown = Table(box=None, pad_edge=False)
    shown.add_column("")
    shown.add_column(first.letter, justify="right")
    for run in others:
        shown.add_column(run.letter, justify="right")
        shown.add_column(f"{run.letter} - {first.letter} (95%)", overflow="fold")
    for row in comparison.quality:
        cells = [Text(figures.share(row.values[0]))]
        for value, difference in zip(row.values[1:], row.differences, strict=True):
            cells += [Text(figures.share(value)), Text(_difference(difference), style=STYLES[verdict(difference)])]
        shown.add_row(row.key, *cells)
    return shown


def _measured(comparison: Comparison) -> str:
    texts = f", {comparison.rows:,} rows" if comparison.rows != comparison.queries else ""
    return f"{SPLITS[comparison.split]}, {comparison.queries:,} queries{texts}"


def _difference(found: Estimate) -> str:
    return f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)})"


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Writes the page, all or nothing."""
    write_page(render(comparison), path)


def render(comparison: Comparison) -> str:
    """The page as text."""
    title = f"{' vs '.join(run.name for run in comparison.runs[:3])}{' …' if len(comparison.runs) > 3 else ''}"
    header = element(
        "header",
        element("p", "tt_hydra comparison", class_="eyebrow"),
        element("h1", title),
        element("p", _measured(comparison), class_="note"),
        command_line(comparison.command),
    )
    parts = [
        Part("differences", "Differences", "Paired differences", _differences(comparison)),
        Part("quality", "Quality", "Quality", _quality_table(comparison)),
        Part("settings", "Settings", "Settings that differ", _settings(comparison)),
        Part("costs", "Cost", "Latency, bytes and other figures", _costs(comparison)),
        Part("runs", "Runs", "Runs", _run_table(comparison)),
    ]
    lead = [details.warnings(comparison.notes), section("headline", "Headline", _headline(comparison))]
    return render_page(Page(title=title, header=header, lead=lead, parts=parts, with_plots=True))


def _headline(comparison: Comparison) -> Html:
    """The first metric: the first run's value, and what each other run adds to it."""
    row = comparison.quality[0]
    first = comparison.runs[0]
    cards = [_card(f"{first.letter}: {row.key}", figures.share(row.values[0]), first.name, main=True)]
    for run, found in zip(comparison.runs[1:], row.differences, strict=True):
        note = f"{signed(found.low)} to {signed(found.high)}: {verdict(found) or UNTOLD}"
        cards.append(_card(f"{run.letter} against {first.letter}: {run.name}", signed(found.value), note))
    return element("ul", *cards, class_="cards")


def _card(label: str, value: str, note: str, *, main: bool = False) -> Html:
    parts = [element("span", label, class_="label"), element("strong", value), element("span", note, class_="note")]
    return element("li", *parts, class_="main" if main else None)


def _differences(comparison: Comparison) -> Html:
    first = comparison.runs[0]
    note = (
        f"Each run minus {first.letter}, query by query, with 95% intervals of a bootstrap that draws whole queries. "
        "An interval that leaves out zero tells two runs apart; of many metrics, some do so by chance."
    )
    label = "; ".join(f"{row.key}: {_words(comparison, row)}" for row in comparison.quality[:3])
    kinds = dict.fromkeys(row.key.rpartition("/")[0] for row in comparison.quality)
    plots: list[Html] = []
    for kind in kinds:
        rows = [row for row in comparison.quality if row.key.rpartition("/")[0] == kind]
        plots.append(drawn(f"forest-{len(plots)}", kind, "", label, specification(comparison, rows)))
    return join([element("p", note, class_="note"), element("div", *plots, class_="plots")])


def _words(comparison: Comparison, row: QualityRow) -> str:
    return ", ".join(f"{run.letter} {_difference(found)}" for run, found in zip(comparison.runs[1:], row.differences, strict=True))


def specification(comparison: Comparison, rows: Sequence[QualityRow]) -> dict[str, Any]:
    """Plotly's data and layout of a forest plot: a row for each metric, an interval for each run but the first."""
    others = comparison.runs[1:]
    step = 0.8 / len(others)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{run.letter}: {run.name}",
            "x": [row.differences[place].value for row in rows],
            "y": [-line - (place - (len(others) - 1) / 2) * step for line in range(len(rows))],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [row.differences[place].high - row.differences[place].value for row in rows],
                "arrayminus": [row.differences[place].value - row.differences[place].low for row in rows],
            },
            "text": [f"{row.key}, {run.letter}: {_difference(row.differences[place])}" for row in rows],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"size": 8},
            "meta": {"colour": place % SERIES},
        }
        for place, run in enumerate(others)
    ]
    names = [row.key.rpartition("/")[2] for row in rows]
    layout = {
        "xaxis": {"tickformat": "+~g", "nticks": 6},
        "yaxis": {"tickvals": [-line for line in range(len(rows))], "ticktext": names, "range": [0.6 - len(rows), 0.6], "showgrid": False},
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}],
        "hovermode": "closest",
        "showlegend": len(others) > 1,
        "height": 90 + max(28, ROW_HEIGHT * len(others)) * len(rows),
    }
    return {"data": traces, "layout": layout}


def _quality_table(comparison: Comparison) -> Html:
    first, *others = comparison.runs
    headings: list[object] = ["Metric", number_heading(first.letter)]
    for run in others:
        headings += [number_heading(run.letter), number_heading(f"{run.letter} − {first.letter}"), "95% interval of the difference"]
    rows = []
    for row in comparison.quality:
        cells = [row_heading(element("code", row.key)), number(figures.share(row.values[0]))]
        for value, found in zip(row.values[1:], row.differences, strict=True):
            badge = element("span", verdict(found), class_=BADGES[verdict(found)]) if verdict(found) else ""
            ends = element("td", f"{signed(found.low)} to {signed(found.high)} ", badge)
            cells += [number(figures.share(value)), number(signed(found.value)), ends]
        rows.append(cells)
    return table(headings, rows, caption=f"Quality on {comparison.queries} queries", class_="dense")


def _settings(comparison: Comparison) -> Html:
    if not comparison.settings:
        return element("p", "None that is known.", class_="note")
    rows = [
        [row_heading(element("code", key)), *(element("td", element("code", value)) for value in values)]
        for key, values in comparison.settings.items()
    ]
    return table(["Key", *(run.letter for run in comparison.runs)], rows, caption="Settings that differ", class_="dense")


def _costs(comparison: Comparison) -> Html:
    if not comparison.costs:
        return Html("")
    rows = [
        [row_heading(element("code", key)), *(number(MISSING if value is None else figures.plain(value)) for value in values)]
        for key, values in comparison.costs.items()
    ]
    headings = ["Key", *(number_heading(run.letter) for run in comparison.runs)]
    return table(headings, rows, caption="Figures that no query has by itself", class_="dense")


def _run_table(comparison: Comparison) -> Html:
    rows = [
        [row_heading(run.letter), element("td", element("code", run.folder)), element("td", element("code", " ".join(run.overrides)))]
        for run in comparison.runs
    ]
    return table(["Run", "Folder", "Overrides"], rows, caption="Runs", class_="dense")
