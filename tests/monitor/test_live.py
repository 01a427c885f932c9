"""`LiveMonitor` with a fake snapshot, whose exact search is a matrix product."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Health, Observed, Reference, SearchResult
from tt_hydra.errors import ConfigError
from tt_hydra.monitor.live import LiveMonitor
from tt_hydra.monitor.recall import compare
from tt_hydra.monitor.settings import AlarmLimits, MonitorSettings, TrafficLimits
from tt_hydra.monitor.traffic import FILES, read_traffic

DIM, ITEMS = 8, 60


@dataclass
class Fake:
    items: np.ndarray
    gate: threading.Event | None = None

    @property
    def size(self):
        return len(self.items)

    @property
    def health(self):
        return Health(alive=len(self.items), base=len(self.items), delta=0, dead=0)

    def search(self, queries, k, params=None, allowed=None):
        return self.exact(queries, k, allowed)

    def exact(self, queries, k, allowed=None):
        if self.gate is not None:
            self.gate.wait(10)
        scores = queries @ self.items.T
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, rows, axis=1)
        return SearchResult(best.astype(np.float32), np.where(np.isfinite(best), rows, -1))


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


def vectors(seed, rows):
    return np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)


CATALOGUE = Fake(vectors(0, ITEMS))


def request(queries, *, wrong=0, version=1, snapshot=CATALOGUE, **more):
    """An answered request; of each result list the last ``wrong`` are rows that do not belong there."""
    result = snapshot.exact(queries, 10, more.get("allowed"))
    rows = result.rows.copy()
    for place in range(wrong):
        rows[:, 9 - place] = snapshot.exact(-queries, 10).rows[:, place]
    ids = [[f"i{row}" for row in each] for each in rows]
    seconds = {"tower": 0.001, "search": 0.002, "merge": 0.0005, "total": 0.004}
    found = SearchResult(result.scores, rows)
    return Observed(version=version, vectors=queries, result=found, ids=ids, snapshot=snapshot, **{"seconds": seconds, **more})


def reference(rows=400):
    queries = vectors(1, rows)
    return Reference(queries=queries, scores=CATALOGUE.exact(queries, 10).scores, items=vectors(2, rows), unknown_share=0.01)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(clock, tmp_path, monkeypatch):
    monitors = []

    monkeypatch.setattr("tt_hydra.monitor.watched.RESAMPLES", 2000)

    def begin(*, with_reference=True, **settings):
        chosen = MonitorSettings(**{"every": 1, "waiting": 5000, "drift_minutes": 1, **settings})
        monitor = LiveMonitor(chosen, tmp_path / "traffic", clock)
        monitors.append(monitor)
        monitor.serving(1, "2027-01-15T08:00:00+00:00", reference() if with_reference else None)
        assert monitor.settle(60)
        return monitor

    yield begin
    for monitor in monitors:
        monitor.close()


@pytest.mark.parametrize("wrong", [0, 3])
def test_recall_of_one_query_is_that_of_brute_force(wrong):
    query = vectors(3, 1)
    found = request(query, wrong=wrong).result
    exact = set(np.argsort(-(CATALOGUE.items @ query[0]))[:10].tolist())
    assert compare(query[0], found, CATALOGUE, None).hits == len(exact & set(found.rows[0].tolist())) == 10 - wrong


def test_items_of_equal_score_stand_for_each_other():
    twins = Fake(np.concatenate([CATALOGUE.items, CATALOGUE.items]))
    query = vectors(4, 1)
    found = twins.exact(query, 10)
    other = SearchResult(found.scores, (found.rows + ITEMS) % (2 * ITEMS))
    compared = compare(query[0], other, twins, None)
    assert (compared.hits, compared.wanted) == (10, 10)
    doubled = SearchResult(found.scores, np.repeat(found.rows[:, :5], 2, axis=1))
    assert compare(query[0], doubled, twins, None).hits == 5


def test_only_allowed_rows_count():
    allowed = np.zeros(ITEMS, np.bool_)
    allowed[:4] = True
    query = vectors(5, 1)
    found = CATALOGUE.exact(query, 10, allowed)
    compared = compare(query[0], found, CATALOGUE, allowed)
    assert (compared.hits, compared.wanted) == (4, 4)
    free = CATALOGUE.exact(query, 10)
    assert compare(query[0], free, CATALOGUE, allowed).hits == len(set(free.rows[0].tolist()) & set(range(4)))
    assert compare(query[0], found, CATALOGUE, np.zeros(ITEMS, np.bool_)).wanted == 0


def test_the_gauge_alarms_by_its_lower_end(watch):
    monitor = watch(with_reference=False)
    monitor.searched(request(vectors(6, 200)))
    monitor.settle()
    fine = monitor.state()
    assert (fine["recall"]["value"], fine["recall"]["queries"], fine["recall"]["count"]) == (1, 200, 2000)
    assert fine["recall"]["low"] == pytest.approx(1 / (1 + 3.841459 / 200), rel=1e-5)
    assert monitor.recall_low == fine["recall"]["low"]
    monitor.searched(request(vectors(7, 200), wrong=3))
    monitor.settle()
    bad = monitor.state()
    assert bad["recall"]["value"] == pytest.approx(0.85)
    assert [alarm["name"] for alarm in bad["alarms"]] == ["recall"]


@pytest.mark.parametrize("asked", [{"params": {"efSearch": 1}}, {"exact": True}], ids=str)
def test_queries_that_are_not_searched_as_the_version_says_are_not_its_recall_or_scores(asked, watch, clock):
    monitor = watch()
    clock.now += 61
    monitor.searched(request(vectors(6, 200), wrong=9, **asked))
    monitor.settle()
    found = monitor.state()
    assert found["recall"] is None
    assert found["drift"]["scores"]["seen"] == 0
    assert found["queries"] == 200


def test_one_query_in_so_many_is_searched_again(watch):
    monitor = watch(with_reference=False, every=10)
    for part in np.split(vectors(8, 96), 32):
        monitor.searched(request(part))
    monitor.settle()
    assert monitor.state()["recall"]["queries"] == 10  # numbers 0, 10 ... 90


def test_exact_searches_that_take_long_are_left_out_and_hold_nothing_up(watch):
    monitor = watch(with_reference=False, waiting=2)
    slow = Fake(CATALOGUE.items, threading.Event())
    monitor.searched(request(vectors(9, 50), snapshot=Fake(CATALOGUE.items)))
    monitor.settle()
    before = monitor.state()["dropped"]["recall"]
    fast = request(vectors(9, 50))
    monitor.searched(Observed(**{**{name: getattr(fast, name) for name in fast.__dataclass_fields__}, "snapshot": slow}))
    dropped = monitor.state()["dropped"]["recall"] - before
    slow.gate.set()
    assert 47 <= dropped <= 48  # one is searched, two wait
    assert monitor.state()["requests"] == 2


def test_percentiles_and_histograms(watch, clock):
    monitor = watch(with_reference=False)
    for number in range(100):
        monitor.searched(request(vectors(number, 1), seconds={"search": (number + 1) / 1000, "total": 0.2}))
    latency = monitor.state()["latency"]
    assert set(latency) == {"search", "total"}
    assert latency["search"] == pytest.approx({"p50": 50.5, "p95": 95.05, "p99": 99.01, "count": 100})
    text = monitor.render().decode()
    assert 'tt_hydra_phase_seconds_bucket{le="0.01",phase="search"} 10.0' in text
    assert 'tt_hydra_phase_seconds_count{phase="total"} 100.0' in text
    clock.now += 10_000
    assert monitor.state()["latency"] == {}


def test_quiet_traffic_stays_quiet_and_drift_is_raised(watch, clock):
    monitor = watch()
    clock.now += 61
    monitor.searched(request(vectors(10, 200), unknown=[1] + [0] * 199, values=[1] * 200))
    monitor.written(vectors(11, 100), CATALOGUE.health, writes=1, items=100)
    assert monitor.settle(60)
    quiet = monitor.state()
    assert {kind: each["state"] for kind, each in quiet["drift"].items()} == {"queries": "quiet", "items": "quiet", "scores": "quiet"}
    assert quiet["unknown"]["share"] == 0.005
    assert quiet["alarms"] == []
    clock.now += 61
    monitor.searched(request(vectors(12, 200) * 0.2 + 1, unknown=[1] * 40 + [0] * 160, values=[1] * 200))
    monitor.written(vectors(13, 100) + 1, CATALOGUE.health, writes=1, items=100)
    assert monitor.settle(60)
    drifted = monitor.state()
    assert [alarm["name"] for alarm in drifted["alarms"]] == ["drift_queries", "drift_items", "drift_scores", "unknown"]
    assert drifted["drift"]["queries"]["statistic"] > 1
    assert 'tt_hydra_drift_checks_total{kind="queries"} 2.0' in monitor.render().decode()
    json.dumps(drifted, allow_nan=False)


def test_a_query_that_is_asked_again_is_one_query(watch, clock):
    monitor = watch()
    clock.now += 61
    for _ in range(100):
        monitor.searched(request(vectors(14, 3)))
    monitor.settle()
    drift = monitor.state()["drift"]["queries"]
    assert (drift["state"], drift["seen"], drift["needed"]) == ("waiting", 3, 40)


def test_another_version_begins_anew(watch, clock):
    monitor = watch()
    monitor.searched(request(vectors(15, 150), wrong=9))
    monitor.settle()
    assert monitor.state()["alarms"]
    monitor.serving(2, "2027-01-15T08:00:00+00:00", None)
    monitor.searched(request(vectors(15, 5), version=1))  # an answer that was on its way
    monitor.settle()
    found = monitor.state()
    assert (found["version"], found["recall"], found["alarms"], found["coverage"]) == (2, None, [], None)
    assert found["requests"] == 2
    assert found["drift"]["queries"]["state"] == "no reference"


def test_writes_and_what_they_wrote_are_counted(watch):
    monitor = watch(with_reference=False)
    monitor.written(vectors(1, 2), CATALOGUE.health, writes=3, items=5)
    monitor.written(vectors(2, 1), CATALOGUE.health, writes=1, items=1)
    told = monitor.render().decode()
    assert "tt_hydra_writes_total 4.0" in told
    assert "tt_hydra_items_added_total 6.0" in told


def test_coverage_and_ages(watch, clock):
    monitor = watch(with_reference=False, coverage_minutes=60)
    queries = vectors(16, 5)
    shown = set(np.concatenate(CATALOGUE.exact(queries, 10).rows).tolist())
    monitor.searched(request(queries))
    found = monitor.state()
    assert (found["shown"], found["coverage"]) == (len(shown), len(shown) / ITEMS)
    assert found["age"]["delta_s"] is None
    monitor.written(np.empty((0, DIM), np.float32), Health(alive=59, base=60, delta=0, dead=1), writes=1, items=0)
    monitor.state()
    clock.now += 3700
    later = monitor.state()
    assert later["age"]["delta_s"] == 3700
    assert later["age"]["model_s"] == 3700  # 1,800,000,000 is 15 January 2027, 08:00
    assert (later["shown"], later["health"]["dead"]) == (0, 1)


def test_a_fresh_index_does_not_make_the_model_young(watch, clock):
    monitor = watch(with_reference=False, alarm=AlarmLimits(model_days=30))
    monitor.serving(2, "2027-01-15T07:00:00+00:00", None, trained="2026-11-16T08:00:00+00:00")
    found = monitor.state()
    assert (found["age"]["index_s"], found["age"]["model_s"]) == (3600, 60 * 86_400)
    assert [alarm["reason"] for alarm in found["alarms"]] == ["the model is 60.0 days old; 30 are allowed"]
    assert 'tt_hydra_age_seconds{part="model"} 5.184e+06' in monitor.render().decode()


def test_changes_that_waited_before_the_process_began_are_as_old_as_they_are(watch, clock):
    monitor = watch(with_reference=False)
    monitor.serving(1, "2027-01-15T08:00:00+00:00", None, changed=clock.now - 500)
    assert monitor.state()["age"]["delta_s"] == 500
    monitor.written(np.empty((0, DIM), np.float32), CATALOGUE.health, writes=1, items=0)
    clock.now += 10
    assert monitor.state()["age"]["delta_s"] == 510
    monitor.serving(2, "2027-01-15T08:00:00+00:00", None)
    assert monitor.state()["age"]["delta_s"] is None


def test_traffic_is_written_in_files_that_roll(clock, tmp_path):
    settings = MonitorSettings(every=1, waiting=5000, traffic=TrafficLimits(files=2, rows=10))
    monitor = LiveMonitor(settings, tmp_path, clock)
    monitor.serving(1, "2027-01-15T08:00:00", None)
    assert monitor.settle()  # another version has what was collected written: nothing so far
    for number in range(4):
        clock.now += 1
        monitor.searched(request(vectors(number, 10), unknown=[1] + [0] * 9, values=range(10)))
        monitor.settle()
        monitor.settle()
    monitor.written(vectors(20, 2), CATALOGUE.health, writes=1, items=2)
    monitor.close()
    assert len(list(tmp_path.glob(FILES))) == 2
    rows = read_traffic(tmp_path)
    queries = rows.filter(pl.col("kind") == "query")
    assert (len(queries), len(rows)) == (10, 12)
    assert queries["hits"].to_list() == [10] * 10
    assert np.array(queries["vector"].to_list(), np.float32) == pytest.approx(vectors(3, 10))
    assert (queries["total"][0], queries["queries"][0]) == (0.004, 10)
    assert (queries["own_unknown"].to_list(), queries["own_values"].to_list()) == ([1] + [0] * 9, list(range(10)))
    assert read_traffic(tmp_path, since=clock.now + 1).is_empty()


def test_a_full_disk_loses_the_traffic_and_nothing_else(clock, tmp_path, monkeypatch, caplog):
    """Half of a file is written when the disk is full; later there is room again."""
    write = pl.DataFrame.write_parquet

    def full(frame, path):
        write(frame, path)
        raise pl.exceptions.ComputeError("parquet: File out of specification: underlying IO error: No space left on device")

    monitor = LiveMonitor(MonitorSettings(every=1), tmp_path, clock)
    monitor.serving(1, "2027-01-15T08:00:00", None)
    assert monitor.settle()  # another version has what was collected written: nothing so far
    monitor.searched(request(vectors(0, 10)))
    monitor.settle()
    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "write_parquet", full)
        clock.now += 301
        monitor.settle()
    assert list(tmp_path.iterdir()) == []
    assert "10 rows of traffic are lost" in caplog.text
    monitor.searched(request(vectors(1, 3)))
    monitor.settle()
    monitor.close()
    assert len(read_traffic(tmp_path)) == 3


def test_nothing_that_is_observed_raises(watch, caplog):
    monitor = watch(with_reference=False)
    broken = request(vectors(0, 2))
    monitor.searched(Observed(**{**{name: getattr(broken, name) for name in broken.__dataclass_fields__}, "ids": None}))
    monitor.searched(request(vectors(0, 2)))
    assert monitor.settle()
    assert monitor.state()["requests"] == 2


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(MonitorSettings, {"every": 0}), (AlarmLimits, {"level": 0}), (AlarmLimits, {"recall": 2}), (TrafficLimits, {"rows": 0})],
)
def test_settings_that_cannot_be(kind, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        kind(**wrong)
