"""``frontier.parquet``: every operating point that was measured, one a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl

from tt_hydra.contracts import Estimate, OperatingPoint

FILE = "frontier.parquet"
SCHEMA = {
    "name": pl.String, "overrides": pl.String, "family": pl.String, "quantization": pl.String, "dim": pl.Int64,
    "recall": pl.Float64, "recall_low": pl.Float64, "recall_high": pl.Float64, "quality": pl.Float64,
    "p50_ms": pl.Float64, "p95_ms": pl.Float64, "p99_ms": pl.Float64,
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
    recall: Estimate = row.pop("recall")
    return {**row, "recall": recall.value, "recall_low": recall.low, "recall_high": recall.high}


def _point(row: dict[str, Any]) -> OperatingPoint:
    recall = Estimate(value=row.pop("recall"), low=row.pop("recall_low"), high=row.pop("recall_high"))
    return OperatingPoint(recall=recall, **row)
