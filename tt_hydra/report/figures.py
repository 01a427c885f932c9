"""Reads the flat figures of ``metrics.json`` into the shapes that the page and the terminal table show, and words numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

SPLITS = {"test": "Test", "valid": "Validation"}
"""Splits in the order of preference: the first one with figures is the headline."""
STAGE_ORDER = ("prepare", "train", "embed", "index", "evaluate", "report")
HEADLINE = ("recall@10", "ndcg@10", "mrr@10")
LATENCY = {"search": "Index alone", "query": "Tower and index"}
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")
MISSING = "–"

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, with its 95% interval where one was computed."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One ranking metric: by exact search with the model's vectors, and through the built index."""

    name: str
    model: Figure | None
    index: Figure | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the run.

    Attributes:
        seconds: spent in this run.
        reused: whether its output was found in the store.
    """

    name: str
    seconds: float
    reused: bool


def figure(metrics: Metrics, key: str) -> Figure | None:
    """The figure under a key with its interval, None where the run did not measure it."""
    value = metrics.get(key)
    if value is None or not math.isfinite(value):
        return None
    return Figure(value, metrics.get(f"{key}/ci_low"), metrics.get(f"{key}/ci_high"))


def splits(metrics: Metrics) -> list[str]:
    """The splits that have figures, the headline first."""
    return [split for split in SPLITS if any(key.startswith(f"{split}/") for key in metrics)]


def quality(metrics: Metrics, split: str) -> list[QualityRow]:
    """The ranking metrics of a split: recall, nDCG and MRR at 10 first, then the others by name and depth."""
    pattern = re.compile(rf"{re.escape(split)}/(?:model|index)/([^/]+)")
    names = {match[1] for match in map(pattern.fullmatch, metrics) if match}
    return [
        QualityRow(name, figure(metrics, f"{split}/model/{name}"), figure(metrics, f"{split}/index/{name}"))
        for name in sorted(names, key=metric_order)
    ]


def metric_order(name: str) -> tuple[int, str, int]:
    """Where a metric stands among others: those of the headline first, then by name and depth."""
    kind, _, depth = name.partition("@")
    place = HEADLINE.index(name) if name in HEADLINE else len(HEADLINE)
    return place, kind, int(depth) if depth.isdigit() else 0


def stages(metrics: Metrics) -> list[Stage]:
    """The stages in the order in which they run."""
    found = [match[1] for match in (re.fullmatch(r"stage/([^/]+)/seconds", key) for key in metrics) if match]
    known = {name: place for place, name in enumerate(STAGE_ORDER)}
    ordered = sorted(found, key=lambda name: known.get(name, len(known)))
    return [Stage(name, metrics[f"stage/{name}/seconds"], bool(metrics.get(f"stage/{name}/reused", 0))) for name in ordered]


def latencies(metrics: Metrics) -> list[tuple[str, list[Figure | None]]]:
    """Label and p50, p95, p99 of each latency that was measured."""
    rows = [(label, [figure(metrics, f"{part}/{name}") for name in PERCENTILES]) for part, label in LATENCY.items()]
    return [row for row in rows if any(row[1])]


def share(value: float) -> str:
    """A quality figure: 0.1503."""
    return f"{value:.4f}"


def interval(given: Figure, separator: str = " – ") -> str:
    """An interval's ends, empty where there is none."""
    if given.low is None or given.high is None:
        return ""
    return f"{share(given.low)}{separator}{share(given.high)}"


def milliseconds(value: float) -> str:
    """A latency to three significant digits: 0.123 ms, 12.3 ms, 1,234 ms."""
    return f"{_significant(value)} ms"


def seconds(value: float) -> str:
    """A duration: 0.42 s, 12.3 s, 3 min 05 s, 2 h 07 min."""
    if round(value, 1) < 60:
        return f"{_significant(value)} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float) -> str:
    """A number of bytes: 256 B, 1.50 kB, 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" and value == round(value) else f"{_significant(value)} {unit}"
        value /= 1000
    return f"{_significant(value)} TB"


def count(value: float) -> str:
    """A whole number with separators: 100,000."""
    return f"{value:,.0f}"


def plain(value: float | None) -> str:
    """Any figure, to six significant digits."""
    if value is None or not math.isfinite(value):
        return MISSING
    return count(value) if value == round(value) else f"{value:,.6g}"


def _significant(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:#.3g}"
