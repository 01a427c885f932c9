from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.metrics.significance import clustered_differences, difference_interval, mean_interval, mean_intervals


def test_equal_values_have_no_width():
    estimate = mean_interval(np.full(50, 0.25, dtype=np.float32))
    assert (estimate.value, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_one_value():
    estimate = mean_interval(np.array([0.7]))
    assert (estimate.low, estimate.high) == (0.7, 0.7)


def test_two_queries_by_hand():
    """A sample of (0, 1) has the means 0, 1/2, 1 with odds 1 : 2 : 1, so both 2.5% tails lie at the ends."""
    estimate = mean_interval(np.array([0.0, 1.0]))
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.random.default_rng(1).random(2000), id="distinct: drawn one by one"),
        pytest.param((np.random.default_rng(2).random(2000) < 0.15).astype(np.float32), id="hits and misses: drawn as counts"),
    ],
)
def test_close_to_the_normal_approximation(values):
    estimate = mean_interval(values)
    half = 1.959964 * values.std() / np.sqrt(len(values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_drawing_counts_and_drawing_queries_agree():
    """A jitter too small to matter makes the values distinct, and so switches the way of drawing."""
    hits = (np.random.default_rng(3).random(1500) < 0.3).astype(np.float64)
    counted, drawn = mean_interval(hits), mean_interval(hits + np.arange(1500) * 1e-12)
    width = counted.high - counted.low
    assert drawn.low == pytest.approx(counted.low, abs=0.05 * width)
    assert drawn.high == pytest.approx(counted.high, abs=0.05 * width)


def test_the_seed_decides():
    values = np.random.default_rng(0).random(300)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_memory_is_bounded_by_parts_that_change_nothing_else(monkeypatch):
    values = np.random.default_rng(4).random(500)
    whole = mean_interval(values, resamples=200)
    monkeypatch.setattr("tt_hydra.metrics.significance._DRAWS_AT_A_TIME", 1000)
    assert mean_interval(values, resamples=200) == whole


def test_pairing_removes_what_both_share():
    generator = np.random.default_rng(5)
    hard = generator.random(400)
    better = hard + 0.01 + generator.normal(0, 0.01, 400)
    apart = mean_interval(better).low > mean_interval(hard).high
    paired = difference_interval(better, hard)
    assert not apart
    assert paired.low > 0
    assert paired.value == pytest.approx(float(np.mean(better - hard)))


def test_a_system_does_not_differ_from_itself():
    values = np.random.default_rng(6).random(30)
    estimate = difference_interval(values, values)
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_all_metrics_of_a_mapping():
    values = {"a": np.array([0.0, 1.0]), "b": np.ones(3)}
    intervals = mean_intervals(values)
    assert intervals == {"a": mean_interval(values["a"]), "b": mean_interval(values["b"])}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval(np.array([])), "one figure or more"),
        (lambda: mean_interval(np.ones((2, 2))), "one figure or more"),
        (lambda: mean_interval(np.array([1.0, np.nan])), "1 of 2 figures are not finite"),
        (lambda: difference_interval(np.ones(2), np.ones(3)), "equally many"),
    ],
)
def test_figures_that_have_no_interval(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_rows_of_one_query_are_drawn_together():
    """Query a has the differences .1 and .3, query b has 1.0: the samples aa, ab, ba, bb have the means .2, 1.4/3, 1.4/3, 1."""
    values = {"recall": np.array([0.3, 0.5, 1.0])}
    baseline = {"recall": np.array([0.2, 0.2, 0.0])}
    found = clustered_differences(values, baseline, ["a", "a", "b"])["recall"]
    assert found.value == pytest.approx(1.4 / 3)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(1.0))


def test_repeating_each_row_of_a_query_leaves_the_interval_as_it_is():
    random = np.random.default_rng(0)
    ours, theirs = random.random(200), random.random(200)
    once = clustered_differences({"m": ours}, {"m": theirs}, range(200))["m"]
    thrice = clustered_differences({"m": np.repeat(ours, 3)}, {"m": np.repeat(theirs, 3)}, np.repeat(range(200), 3))["m"]
    plain = difference_interval(ours, theirs)
    assert (thrice.low, thrice.high) == (pytest.approx(once.low), pytest.approx(once.high))
    assert once.low == pytest.approx(plain.low, abs=0.1 * (plain.high - plain.low))
    assert once.high == pytest.approx(plain.high, abs=0.1 * (plain.high - plain.low))


@pytest.mark.parametrize(
    ("values", "baseline", "message"),
    [
        ({"m": np.zeros(2)}, {"n": np.zeros(2)}, "same metrics"),
        ({"m": np.zeros(3)}, {"m": np.zeros(2)}, "2 rows"),
        ({"m": np.array([0.0, np.nan])}, {"m": np.zeros(2)}, "1 of 2"),
    ],
)
def test_what_cannot_be_paired(values, baseline, message):
    with pytest.raises(ValueError, match=message):
        clustered_differences(values, baseline, ["a", "b"])
