"""``frontier.parquet``: every operating point that was measured, one a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl

from tt_hydra.contracts import Estimate, Measurement, OperatingPoint

FILE = "frontier.parquet"
FRESH = "fresh_"
TIMES = ("p50_ms", "p95_ms", "p99_ms")
SCHEMA = {
    "name": pl.String, "overrides": pl.String, "family": pl.String, "quantization": pl.String, "dim": pl.Int64,
    "recall": pl.Float64, "recall_low": pl.Float64, "recall_high": pl.Float64, "quality": pl.Float64,
    "p50_ms": pl.Float64, "p95_ms": pl.Float64, "p99_ms": pl.Float64,
    "fresh_recall": pl.Float64, "fresh_recall_low": pl.Float64, "fresh_recall_high": pl.Float64,
    "fresh_p50_ms": pl.Float64, "fresh_p95_ms": pl.Float64, "fresh_p99_ms": pl.Float64,
    "bytes_per_item": pl.Float64, "resident_bytes_per_item": pl.Float64, "build_s": pl.Float64,
    "meets": pl.Boolean, "on_front": pl.Boolean, "chosen": pl.Boolean, "reason": pl.String,
}  # fmt: skip


def write_frontier(points: Sequence[OperatingPoint], folder: Path) -> Path:
    """Writes the points into an existing folder; the file."""
    path = folder / FILE
    pl.DataFrame([_row(point) for point in points], schema=SCHEMA).write_parquet(path)
    return path


def read_frontier(folder: Path) -> list[OperatingPoint]:
    """The points that were written into a folder; none where there is no such file."""
    path = folder / FILE
    return [_point(row) for row in pl.read_parquet(path).iter_rows(named=True)] if path.is_file() else []


def _row(point: OperatingPoint) -> dict[str, Any]:
    row = {field.name: getattr(point, field.name) for field in fields(point)}
    fresh: Measurement | None = row.pop("fresh")
    again = {} if fresh is None else {f"{FRESH}{name}": value for name, value in _figures(fresh).items()}
    return {**row, **_figures(point), **again}


def _figures(measured: OperatingPoint | Measurement) -> dict[str, float]:
    recall = measured.recall
    times = {name: getattr(measured, name) for name in TIMES}
    return {"recall": recall.value, "recall_low": recall.low, "recall_high": recall.high, **times}


def _point(row: dict[str, Any]) -> OperatingPoint:
    again = {name.removeprefix(FRESH): row.pop(name) for name in list(row) if name.startswith(FRESH)}
    known = again.get("recall") is not None  # files of earlier versions have no such columns
    return OperatingPoint(recall=_recall(row), fresh=Measurement(recall=_recall(again), **again) if known else None, **row)


def _recall(row: dict[str, Any]) -> Estimate:
    return Estimate(value=row.pop("recall"), low=row.pop("recall_low"), high=row.pop("recall_high"))
