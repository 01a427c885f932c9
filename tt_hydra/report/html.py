"""The run report: headline, quality, cost, training, examples, settings and conditions on one page."""

from __future__ import annotations

from pathlib import Path

from tt_hydra.report import details, sections
from tt_hydra.report.data import ReportData
from tt_hydra.report.frontier import frontier
from tt_hydra.report.losses import losses
from tt_hydra.report.markup import Html, element, join
from tt_hydra.report.page import Page, Part, command_line, render_page, write_page
from tt_hydra.report.plots import curves
from tt_hydra.report.sections import section


def write_report(data: ReportData, path: Path) -> None:
    """Writes the page, all or nothing.

    Args:
        data: what to show.
        path: the file; its folder must exist.
    """
    write_page(render(data), path)


def render(data: ReportData) -> str:
    """The page as text; plotly is part of it only where there is something to draw."""
    lead = [details.warnings(data.warnings), section("headline", "Headline", sections.headline(data.metrics))]
    parts = _parts(data)
    with_plots = any("data-plot" in part.content for part in parts)
    return render_page(Page(title=data.title, header=_header(data), lead=lead, parts=parts, with_plots=with_plots))


def _parts(data: ReportData) -> list[Part]:
    metrics = data.metrics
    return [
        Part("quality", "Quality", "Model and built index", sections.quality(metrics)),
        Part("losses", "Losses", "Where recall is lost", losses(metrics)),
        Part("frontier", "Indexes", "Indexes that were tried", frontier(data.points, data.budget)),
        Part("cost", "Cost", "Latency and bytes", sections.cost(metrics)),
        Part("curves", "Training", "Training", join([curves(data.curves), details.epochs(data.curves)]) if data.curves else Html("")),
        Part("examples", "Examples", "Example queries", details.examples(data.examples)),
        Part("settings", "Settings", "Settings that differ from the defaults", details.settings(data.settings)),
        Part("stages", "Stages", "Stages", sections.stages(metrics)),
        Part("data", "Data", "Data", details.data(data)),
        Part("figures", "All figures", "All figures", sections.everything(metrics) if metrics else Html("")),
        Part("conditions", "Conditions", "Conditions", details.conditions(data)),
    ]


def _header(data: ReportData) -> Html:
    when = element("time", data.when.strftime("%d %B %Y, %H:%M %Z").strip(), datetime=data.when.isoformat())
    return element(
        "header",
        element("p", "tt_hydra run report", class_="eyebrow"),
        element("h1", data.title),
        element("p", when, " ", sections.budget_badge(data.metrics), class_="note"),
        command_line(data.command),
    )
