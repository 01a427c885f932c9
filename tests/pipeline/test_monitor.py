"""The command on a small bundle with traffic written by hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from commands import CommandLine
from pages import CHROMIUM, Page, in_browser

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.manifest import Manifest
from tt_hydra.artifact.registry import REGISTRY, Registry
from tt_hydra.artifact.write import write_bundle
from tt_hydra.contracts import Reference
from tt_hydra.errors import DataError
from tt_hydra.monitor.settings import AlarmLimits, TrafficLimits
from tt_hydra.monitor.traffic import ITEM, OLDER, Row, TrafficWriter
from tt_hydra.pipeline.monitor import MonitorCommandSettings, monitor, quantile

DIM = 16


def write_traffic(folder, *, hits=10, shift=0.0, rows=300, version=1, seed=0):
    random = np.random.default_rng(seed)
    writer = TrafficWriter(folder, TrafficLimits())
    for number in range(rows):
        vector = (random.standard_normal(DIM) + shift).astype(np.float32)
        seconds = {"tower": 0.001, "search": 0.002, "merge": 0.0005, "total": (number + 1) / 1000}
        more = {"hits": hits, "wanted": 10, "ids": ["a", f"{number % 4}"], "scores": [vector[0]]}
        more |= {"own_unknown": int(number < 3), "own_values": 1}
        writer.add(Row(time=time.time() - number, version=version, vector=vector, **seconds, **more))
    writer.add(Row(kind=ITEM, time=time.time(), version=version, vector=vector))
    writer.write()


@pytest.fixture
def settings(bundle_folder, tmp_path, monkeypatch):
    """A published bundle, whose reference is replaced by one of normal vectors."""
    normal = np.random.default_rng(9).standard_normal((600, DIM)).astype(np.float32)
    reference = Reference(queries=normal, scores=normal[:, :10], items=normal, unknown_share=0.01)
    monkeypatch.setattr(Bundle, "reference", reference)
    monkeypatch.setattr("tt_hydra.pipeline.monitor.RESAMPLES", 2000)
    outputs = tmp_path / "outputs"
    Registry(outputs / REGISTRY).publish(Bundle.load(bundle_folder))

    def make(**more):
        return MonitorCommandSettings(outputs=outputs, run_dir=tmp_path / "report", **more)

    return make


def states(found):
    return {check.name: check.state for check in found.checks}


def test_quiet_traffic(settings, tmp_path):
    write_traffic(tmp_path / "outputs" / REGISTRY / "traffic")
    write_traffic(tmp_path / "outputs" / REGISTRY / "traffic", hits=0, version=2)  # of another version: not looked at
    found = monitor(settings())
    assert not found.alarm
    kinds = states(found)
    assert [kinds[f"drift of {kind}"] for kind in ("queries", "items", "scores")] == ["fine", "too little", "fine"]
    checks = {check.name: check for check in found.checks}
    assert (checks["recall@10"].value, checks["recall@10"].seen) == (1, 300)
    assert checks["p50 of total"].value == pytest.approx(150.5)
    assert (checks["unknown values"].value, checks["coverage"].value) == (0.01, 5 / 40)
    assert checks["unknown values"].text.startswith("1.00% were asked with, ")
    written = json.loads((tmp_path / "report" / "monitor.json").read_text())
    assert (written["alarm"], written["queries"]) == (False, 300)
    page = Page((tmp_path / "report" / "monitor.html").read_text())
    assert page.plots() == ["plot-latency", "plot-recall", "plot-drift"]


def test_what_was_served_is_no_other_bundle_s_traffic(settings, parts, tmp_path):
    folder = tmp_path / "outputs" / REGISTRY / "traffic"
    write_traffic(folder)
    other = write_bundle(tmp_path / "other", replace(parts, measured={"test/index/recall@10": 0.25})).folder
    with pytest.raises(DataError, match="holds no query of this version"):
        monitor(settings(bundle=str(other)))
    writer = TrafficWriter(folder, TrafficLimits())
    writer.add(Row(time=time.time(), version=9, vector=np.ones(DIM // 2, np.float32), ids=["a"], scores=[1.0]))
    writer.write()
    assert monitor(settings(bundle=str(other), traffic=str(folder))).queries == 300


def test_coverage_is_of_the_catalogue_as_it_is(settings, tmp_path):
    """Of 40 items, 38 are deleted and 2 are new; 5 were shown while the others were there."""
    registry = Registry(tmp_path / "outputs" / REGISTRY)
    write_traffic(registry.folder / "traffic")
    ids = Bundle.load(registry.version(1).folder).item_ids
    registry.log.append([Change(items=[{"id": "new"}, {"id": "newer"}])])
    coverage = [check for check in monitor(settings()).checks if check.name == "coverage"]
    assert [(each.value, each.text) for each in coverage] == [(5 / 42, "5 items in the sample, of 42")]
    registry.log.append([Change(deleted=ids[:38])])
    coverage = [check for check in monitor(settings()).checks if check.name == "coverage"]
    assert [(each.value, each.text) for each in coverage] == [(1, "5 items in the sample, of 4")]


def test_a_fresh_index_does_not_make_the_model_young(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(Manifest, "trained_at", "2020-01-01T00:00:00+00:00")
    write_traffic(tmp_path / "outputs" / REGISTRY / "traffic")
    checks = {check.name: check for check in monitor(settings(alarm=AlarmLimits(model_days=30))).checks}
    model, index = checks["age of the model"], checks["age of the index"]
    assert (model.state, model.text, index.state) == ("alarm", "made 2020-01-01T00:00:00+00:00", "fine")
    assert (index.value < 1, model.value > 30) == (True, True)


def test_planted_faults_are_alarms(settings, tmp_path):
    write_traffic(tmp_path / "elsewhere", hits=8, shift=1.0)
    found = monitor(settings(traffic=str(tmp_path / "elsewhere"), alarm=AlarmLimits(p99_ms=20)))
    raised = {name for name, state in states(found).items() if state == "alarm"}
    assert raised == {"recall@10", "drift of queries", "drift of scores", "p99 of total"}


def test_traffic_of_an_older_version_is_read(settings, tmp_path):
    """Its rows tell the unknown values of whole requests, so that one of 60 queries was counted 60 times."""
    folder = tmp_path / "outputs" / REGISTRY / "traffic"
    write_traffic(folder)
    (path,) = folder.iterdir()
    older = pl.read_parquet(path).rename({"own_unknown": "unknown", "own_values": "values"})
    pooled = [pl.lit(number, pl.Int64).alias(name) for name, number in (("unknown", 3), ("values", 60), ("queries", 60))]
    older.with_columns(pooled).select(*OLDER).write_parquet(path)
    checks = {check.name: check for check in monitor(settings()).checks}
    assert (checks["unknown values"].seen, checks["unknown values"].value) == (300, 0.05)
    write_traffic(folder, seed=1)
    checks = {check.name: check for check in monitor(settings()).checks}
    assert (checks["unknown values"].seen, checks["unknown values"].value) == (600, 18 / 600)


def test_queries_that_come_again_are_judged_once(settings, tmp_path):
    """Five that were asked 300 times say nothing of what is asked, nor do their scores: a running service says so, too."""
    random, folder = np.random.default_rng(0), tmp_path / "outputs" / REGISTRY / "traffic"
    writer = TrafficWriter(folder, TrafficLimits())
    vectors = random.standard_normal((5 + 40, DIM)).astype(np.float32)
    for vector in [*vectors[:5]] * 300 + [*vectors[5:]]:
        writer.add(Row(time=time.time(), version=1, vector=vector, ids=["a"], scores=[vector[0] + 3]))
    writer.write()
    checks = {check.name: check for check in monitor(settings()).checks}
    for kind in ("queries", "scores"):
        found = checks[f"drift of {kind}"]
        assert (found.state, found.text) == ("too little", "45 different ones were seen, 60 are needed")


def test_too_little_traffic(settings, tmp_path):
    with pytest.raises(DataError, match="holds no query of this version"):
        monitor(settings())
    write_traffic(tmp_path / "few", rows=20, hits=0)
    found = monitor(settings(traffic=str(tmp_path / "few")))
    kinds = states(found)
    assert not found.alarm
    assert (kinds["recall@10"], kinds["drift of queries"], kinds["unknown values"]) == ("too little", "too little", "too little")


def test_damaged_traffic_is_named(settings, tmp_path):
    (tmp_path / "traffic-x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"traffic-x\.parquet cannot be read"):
        monitor(settings(traffic=str(tmp_path)))


def test_a_quantiles_interval():
    """Of 100 values 1 ... 100 the median lies between the 40th and the 61st: floor(50 - 9.8) and 1 + ceil(50 + 9.8), counted from 1."""
    assert quantile(np.arange(1.0, 101), 0.5) == (50.5, 40.0, 61.0)
    value, low, high = quantile(np.arange(1.0, 16), 0.99)
    assert (low, high) == (14, 15), "floor(14.85 - .76)"
    assert low <= value <= high
    assert quantile(np.array([3.0]), 0.99) == (3, 3, 3)


def test_as_a_process(bundle_folder, tmp_path):
    line = CommandLine(tmp_path / "work", ["monitor", f"bundle={bundle_folder}", f"traffic={tmp_path / 'traffic'}"])
    write_traffic(tmp_path / "traffic", hits=5)
    alarm = line.run()
    assert alarm.status == 3, alarm.err
    assert "recall@10" in alarm.out
    assert Path(alarm.out.strip().splitlines()[-1]).name == "monitor.html"
    rules = line.run(f"rules={tmp_path / 'rules'}")
    assert rules.status == 0, rules.err
    assert [Path(text).exists() for text in rules.out.split()] == [True, True]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_it(settings, tmp_path):
    write_traffic(tmp_path / "traffic", hits=8, shift=1.0)
    monitor(settings(traffic=str(tmp_path / "traffic")))
    found = in_browser(tmp_path / "report" / "monitor.html", tmp_path / "profile")
    assert found.drawn() == ["plot-latency", "plot-recall", "plot-drift"]
