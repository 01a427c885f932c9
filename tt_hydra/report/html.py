"""The run report: one HTML file that needs nothing else, neither network nor server."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from tt_hydra.report import details, sections
from tt_hydra.report.data import ReportData
from tt_hydra.report.markup import Html, element, join
from tt_hydra.report.plots import curves
from tt_hydra.report.sections import section

_HERE = Path(__file__).parent
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M3 14V4h4v10zM9 14V7h4v7z' fill='%233a63d8'/%3E%3C/svg%3E"
)


class _Part(NamedTuple):
    """A section: its anchor, its label in the navigation, its title, what it holds."""

    name: str
    label: str
    title: str
    content: Html


def write_report(data: ReportData, path: Path) -> None:
    """Writes the page, all or nothing: an earlier file stays whole until the new one is complete.

    Args:
        data: what to show.
        path: the file; its folder must exist.
    """
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(render(data))
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def render(data: ReportData) -> str:
    """The page as text; plotly (about 5 MB) is part of it only where there are curves to draw."""
    shown = list(_sections(data))
    scripts = _scripts(with_plots=bool(data.curves))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{data.title} · tt_hydra"),
        element("link", rel="icon", href=_ICON),
        element("style", Html((_HERE / "report.css").read_text(encoding="utf-8"))),
    )
    body = element(
        "body",
        element("a", "Skip to the figures", href="#headline", class_="skip"),
        _header(data),
        element("nav", element("ul", *(_link(part) for part in shown)), aria_label="Sections"),
        element(
            "main",
            details.warnings(data.warnings),
            section("headline", "Headline", sections.headline(data.metrics)),
            *(section(part.name, part.title, part.content) for part in shown),
        ),
        *(element("script", script) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(data: ReportData) -> Iterator[_Part]:
    """The sections that have something to show."""
    metrics = data.metrics
    parts = [
        ("quality", "Quality", "Model and built index", sections.quality(metrics)),
        ("cost", "Cost", "Latency and bytes", sections.cost(metrics)),
        ("curves", "Training", "Training", join([curves(data.curves), details.epochs(data.curves)]) if data.curves else Html("")),
        ("examples", "Examples", "Example queries", details.examples(data.examples)),
        ("settings", "Settings", "Settings that differ from the defaults", details.settings(data.settings)),
        ("stages", "Stages", "Stages", sections.stages(metrics)),
        ("data", "Data", "Data", details.data(data)),
        ("figures", "All figures", "All figures", sections.everything(metrics) if metrics else Html("")),
        ("conditions", "Conditions", "Conditions", details.conditions(data)),
    ]
    yield from (_Part(*part) for part in parts if part[-1])


def _header(data: ReportData) -> Html:
    when = element("time", data.when.strftime("%d %B %Y, %H:%M %Z").strip(), datetime=data.when.isoformat())
    return element(
        "header",
        element("p", "tt_hydra run report", class_="eyebrow"),
        element("h1", data.title),
        element("p", when, " ", sections.budget_badge(data.metrics), class_="note"),
        element("pre", element("code", data.command), tabindex="0", aria_label="Command line"),
    )


def _link(part: _Part) -> Html:
    return element("li", element("a", part.label, href=f"#{part.name}"))


def _scripts(*, with_plots: bool) -> list[Html]:
    """Plotly first, where it is needed, then ours."""
    ours = Html((_HERE / "report.js").read_text(encoding="utf-8"))
    if not with_plots:
        return [ours]
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - takes half a second

    return [Html(get_plotlyjs()), ours]


def _policy(scripts: list[Html]) -> str:
    """Nothing is loaded from anywhere, and no script runs but these, by their hashes."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
