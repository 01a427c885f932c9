from __future__ import annotations

from dataclasses import fields

import polars as pl

from tt_hydra.contracts import Estimate, OperatingPoint
from tt_hydra.index.tune.frontier import FILE, read_frontier, write_frontier

POINT = OperatingPoint(
    name="ivf nlist=9 none nprobe=2", overrides="index=ivf index.nlist=9 index.nprobe=2", family="ivf", quantization="none",
    dim=16, recall=Estimate(value=0.9, low=0.8, high=0.95), p50_ms=0.1, p95_ms=0.2, p99_ms=0.3, bytes_per_item=72.5, build_s=0.5,
    chosen=True, reason="the quickest",
)  # fmt: skip


def test_points_are_read_as_they_were_written(tmp_path) -> None:
    write_frontier([POINT, POINT], tmp_path)
    assert read_frontier(tmp_path) == [POINT, POINT]
    columns = {field.name for field in fields(OperatingPoint)} | {"recall_low", "recall_high"}
    assert set(pl.read_parquet(tmp_path / FILE).columns) == columns


def test_a_run_without_points_has_none(tmp_path) -> None:
    assert read_frontier(tmp_path) == []
    write_frontier([], tmp_path)
    assert read_frontier(tmp_path) == []
