from __future__ import annotations

from dataclasses import fields, replace

import polars as pl

from tt_hydra.contracts import Estimate, Measurement, OperatingPoint
from tt_hydra.index.tune.frontier import FILE, read_frontier, write_frontier

POINT = OperatingPoint(
    name="ivf nlist=9 none nprobe=2", overrides="index=ivf index.nlist=9 index.nprobe=2", family="ivf", quantization="none",
    dim=16, recall=Estimate(value=0.9, low=0.8, high=0.95), p50_ms=0.1, p95_ms=0.2, p99_ms=0.3, bytes_per_item=72.5, build_s=0.5,
    chosen=True, reason="the quickest",
)  # fmt: skip


def test_points_are_read_as_they_were_written(tmp_path) -> None:
    again = replace(POINT, fresh=Measurement(recall=Estimate(value=0.8, low=0.7, high=0.9), p50_ms=1.0, p95_ms=2.0, p99_ms=3.0))
    write_frontier([POINT, again], tmp_path)
    assert read_frontier(tmp_path) == [POINT, again]
    measured = {"recall", "recall_low", "recall_high", "p50_ms", "p95_ms", "p99_ms"}
    columns = {field.name for field in fields(OperatingPoint)} | measured | {f"fresh_{name}" for name in measured}
    assert set(pl.read_parquet(tmp_path / FILE).columns) == columns - {"fresh"}


def test_points_of_an_earlier_version_are_read(tmp_path) -> None:
    write_frontier([POINT], tmp_path)
    frame = pl.read_parquet(tmp_path / FILE)
    frame.drop([name for name in frame.columns if name.startswith("fresh_")]).write_parquet(tmp_path / FILE)
    assert read_frontier(tmp_path) == [POINT]


def test_a_run_without_points_has_none(tmp_path) -> None:
    assert read_frontier(tmp_path) == []
    write_frontier([], tmp_path)
    assert read_frontier(tmp_path) == []
