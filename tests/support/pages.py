"""Pages as a parser sees them, and as headless Chromium draws them."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;</title></style>"


class Page(HTMLParser):
    """The page's sections, elements, and the text of everything but scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL).removeprefix("<!doctype html>"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements must be closed in the order in which they were opened"

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"script", "style"}:
            self.text += f"{data}\n"

    def sections(self) -> list[str | None]:
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]

    def plots(self) -> list[str | None]:
        """Names of the plots that are there to be drawn."""
        return [attributes["data-plot"] for tag, attributes in self.tags if "data-plot" in attributes]

    def drawn(self) -> list[str | None]:
        """Names of the plots that plotly has drawn."""
        return [attributes["id"] for _, attributes in self.tags if "js-plotly-plot" in (attributes.get("class") or "")]


def in_browser(path: Path, profile: Path) -> Page:
    """A page as Chromium leaves it; a message on its console (a script or a style that the page's policy forbids) is a failure."""
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [str(CHROMIUM), *quiet.split(), "--enable-logging=stderr", f"--user-data-dir={profile}", "--virtual-time-budget=5000"]
    finished = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in finished.stderr
    return Page(finished.stdout)
