from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.data.statistics import EventTimes, fit_scales, raw, scaled, window_hours

HOUR = 3_600_000_000


def test_windows():
    assert [window_hours(name) for name in ("count", "rate_7d", "rate_12h")] == [None, 168, 12]


def test_the_moment_itself_never_counts_and_the_window_begins_with_its_first_moment():
    events = EventTimes.build(np.array([0, 0, 0, 1]), np.array([10, 20, 20, 20]))
    rows = np.zeros(5, np.int64)
    assert events.before(rows, np.array([10, 11, 20, 21, 99]), [None]).tolist() == [[0], [1], [1], [3], [3]]
    assert events.before(rows, np.array([10, 20, 21, 30, 31]), [10]).tolist() == [[0], [1], [2], [2], [0]]


def test_counts_agree_with_a_loop():
    rng = np.random.default_rng(0)
    items, times = rng.integers(0, 5, 200), rng.integers(-20, 20, 200)
    events = EventTimes.build(items, times)
    rows, at = rng.integers(0, 5, 50), rng.integers(-25, 25, 50)
    counts = events.before(rows, at, (None, 1, 7))
    for column, window in enumerate((None, 1, 7)):
        expected = [
            sum(
                item == row and time < moment and (window is None or time >= moment - window)
                for item, time in zip(items, times, strict=True)
            )
            for row, moment in zip(rows, at, strict=True)
        ]
        assert counts[:, column].tolist() == expected


def test_keys_are_equal_only_for_one_item_with_the_same_past():
    events = EventTimes.build(np.array([0, 1]), np.array([10, 20]))
    assert len(set(events.key(np.array([0, 1, 0, 1]), np.array([15, 15, 25, 25])).tolist())) == 4
    assert len(set(events.key(np.array([1, 1]), np.array([11, 20])).tolist())) == 1


def test_rates_are_events_a_day():
    events = EventTimes.build(np.zeros(6, np.int64), np.arange(6) * HOUR)
    values = raw(("count", "rate_2h", "rate_1d"), events, np.array([0]), np.array([6 * HOUR]))
    assert np.expm1(values).tolist() == [[pytest.approx(6), pytest.approx(24), pytest.approx(6)]]


def test_no_event_at_all():
    events = EventTimes.build(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert raw(("count",), events, np.array([0, 3]), np.array([1, 2])).tolist() == [[0], [0]]
    assert scaled(fit_scales(("count",), np.zeros((0, 1), np.float32)), np.zeros((2, 1), np.float32)).tolist() == [[0], [0]]


def test_scales_are_fitted_and_applied():
    values = np.array([[0.0], [2.0]], np.float32)
    assert scaled(fit_scales(("count",), values), values).tolist() == [[-1], [1]]
