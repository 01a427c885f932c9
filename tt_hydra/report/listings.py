"""Lists for the terminal: the entries of the stage store, the jobs of a grid of runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tt_hydra.artifact.inventory import SECONDS_PER_DAY, StoredEntry
from tt_hydra.artifact.registry import Version

HEADLINES = {
    "test/model/recall@10": "model recall@10",
    "test/index/recall@10": "index recall@10",
    "test/ann/recall@10": "vs exact",
    "search/p50_ms": "p50 ms",
    "index/bytes_per_item": "bytes an item",
}
"""Figures of a job that its line shows."""
VERSION_HEADLINES = {
    "test/index/recall@10": "test recall@10",
    "valid/index/recall@10": "valid recall@10",
    "test/ann/recall@10": "test vs exact",
    "valid/ann/recall@10": "valid vs exact",
    "search/p50_ms": "p50 ms",
    "index/bytes_per_item": "bytes an item",
}
"""Figures of a version that its line shows: one that an update has made was measured on the validation questions alone."""


def entry_table(entries: Sequence[StoredEntry]) -> RenderableType:
    """What each entry is, how large, when it was last used, and its folder's name."""
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "key", "what", "MB", "last used", "state"):
        table.add_column(name, justify="right" if name == "MB" else "left", overflow="fold")
    for entry in entries:
        state = f"{entry.state}, in use" if entry.in_use else entry.state
        table.add_row(entry.stage, entry.key, Text(entry.title), f"{entry.bytes / 1e6:.1f}", _ago(entry.last_used), state)
    return table


def job_table(results: Sequence[tuple[Sequence[str], Mapping[str, float] | str]]) -> RenderableType:
    """A line for each job: the overrides that the others do not share, and its figures, or why it was refused."""
    found = [figures for _, figures in results if not isinstance(figures, str)]
    shown = [key for key in HEADLINES if any(key in figures for figures in found)]
    table = Table(box=None, pad_edge=False)
    table.add_column("job")
    table.add_column("settings", overflow="fold")
    for key in shown:
        table.add_column(HEADLINES[key], justify="right")
    shared = set.intersection(*(set(overrides) for overrides, _ in results)) if len(results) > 1 else set()
    for number, (overrides, figures) in enumerate(results):
        name = " ".join(override for override in overrides if override not in shared)
        if isinstance(figures, str):
            table.add_row(str(number), Text.assemble(name, "\n", ("refused", "red"), f": {figures}"))
        else:
            table.add_row(str(number), Text(name), *(f"{figures[key]:.4g}" if key in figures else "" for key in shown))
    return table


def version_table(versions: Sequence[Version], current: int | None, previous: int | None) -> RenderableType:
    """A line for each published version: when its bundle was made, of what size, and its figures."""
    shown = [key for key in VERSION_HEADLINES if any(key in version.manifest.measured for version in versions)]
    table = Table(box=None, pad_edge=False)
    for name in ("version", "", "made", "items", "dim"):
        table.add_column(name, justify="right" if name in ("version", "items", "dim") else "left")
    for key in shown:
        table.add_column(VERSION_HEADLINES[key], justify="right")
    for version in versions:
        state = {current: "current", previous: "previous"}.get(version.number, "")
        made, measured = version.manifest, version.manifest.measured
        figures = (f"{measured[key]:.4g}" if key in measured else "" for key in shown)
        table.add_row(str(version.number), state, made.created, f"{made.num_items:,}", str(made.dim), *figures)
    return table


def _ago(moment: float) -> str:
    days = (time.time() - moment) / SECONDS_PER_DAY
    return f"{days:.0f} days ago" if days >= 1 else f"{days * 24:.0f} hours ago" if days * 24 >= 1 else f"{days * 1440:.0f} minutes ago"
