"""The frame of every page: one HTML file that needs nothing else, neither network nor server."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tt_hydra.report.markup import Html, element
from tt_hydra.report.sections import section

_HERE = Path(__file__).parent
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M3 14V4h4v10zM9 14V7h4v7z' fill='%233a63d8'/%3E%3C/svg%3E"
)


@dataclass(frozen=True, slots=True)
class Part:
    """A section: its anchor, its label in the navigation, its title, what it holds."""

    name: str
    label: str
    title: str
    content: Html


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page.

    Attributes:
        title: of the window.
        header: what stands above everything.
        lead: what stands before the sections and has no place in the navigation: warnings, the headline.
        parts: the sections; those that hold nothing are left out.
        with_plots: whether plotly, about 5 MB, is part of it.
    """

    title: str
    header: Html
    lead: Sequence[Html] = ()
    parts: Sequence[Part] = ()
    with_plots: bool = False


def render_page(page: Page) -> str:
    """The page as text."""
    shown = [part for part in page.parts if part.content]
    scripts = _scripts(with_plots=page.with_plots)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{page.title} · tt_hydra"),
        element("link", rel="icon", href=_ICON),
        element("style", Html((_HERE / "report.css").read_text(encoding="utf-8"))),
    )
    body = element(
        "body",
        element("a", "Skip to the figures", href="#headline", class_="skip"),
        page.header,
        element("nav", element("ul", *(_link(part) for part in shown)), aria_label="Sections"),
        element("main", *page.lead, *(section(part.name, part.title, part.content) for part in shown)),
        *(element("script", script) for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def write_page(text: str, path: Path) -> None:
    """Writes a page, all or nothing: an earlier file stays whole until the new one is complete.

    Args:
        text: of the page.
        path: the file; its folder must exist.
    """
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        partial = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def command_line(text: str) -> Html:
    """A command line to copy."""
    return element("pre", element("code", text), tabindex="0", aria_label="Command line")


def _link(part: Part) -> Html:
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
