from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.metrics.significance import mean_interval
from tt_hydra.monitor.calibration import Family, resampled
from tt_hydra.monitor.drift import (
    EmbeddingDrift,
    ScoreDrift,
    balance,
    gaussian,
    ks_distance,
    median_distance,
    mmd,
    spread_over,
    window_size,
)
from tt_hydra.monitor.intervals import wilson

DIM = 20


def vectors(random, rows):
    """Anisotropic, heavy-tailed, of length 1, as towers make them."""
    raw = random.standard_t(4, (rows, DIM)) * np.arange(1, DIM + 1) ** -0.5
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    return EmbeddingDrift(vectors(np.random.default_rng(0), 1000), size=100, level=0.05, resamples=1000)


def slow_mmd(left, right, width):
    """By the definition, pair by pair."""

    def kernel(x, y):
        return np.exp(-np.sum((x.astype(float) - y.astype(float)) ** 2) / (2 * width**2))

    def within(sample):
        pairs = [kernel(x, y) for i, x in enumerate(sample) for j, y in enumerate(sample) if i != j]
        return sum(pairs) / (len(sample) * (len(sample) - 1))

    return within(left) + within(right) - 2 * np.mean([kernel(x, y) for x in left for y in right])


def test_mmd_is_that_of_a_double_loop():
    random = np.random.default_rng(1)
    left, right = random.standard_normal((7, 3)).astype(np.float32), random.standard_normal((11, 3)).astype(np.float32) + 0.5
    assert mmd(left, right, 1.3) == pytest.approx(slow_mmd(left, right, 1.3), abs=1e-6)


def test_the_kernels_width_is_the_median_distance():
    points = np.array([[0.0, 0], [3, 4], [0, 1]], np.float32)  # distances 5, 1 and sqrt(9 + 9)
    assert median_distance(points) == pytest.approx(np.sqrt(18), rel=1e-6)
    assert median_distance(np.ones((4, 2), np.float32)) == 1
    assert gaussian(points, points, 2.0)[0] == pytest.approx([1, np.exp(-25 / 8), np.exp(-1 / 8)], rel=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_ks_distance_is_scipys(ties):
    scipy = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(2)
    reference, windows = random.standard_normal(90), random.standard_normal((6, 25)) * 1.4 + 0.2
    if ties:
        reference, windows = reference.round(), windows.round()
    expected = [scipy.ks_2samp(reference, window).statistic for window in windows]
    assert ks_distance(np.sort(reference), windows) == pytest.approx(expected)


def test_values_of_pseudo_windows_are_those_of_the_two_samples():
    """What calibration computes from sums over the whole reference is what the two samples by themselves give."""
    reference = vectors(np.random.default_rng(3), 150)
    detector = EmbeddingDrift(reference, size=30, level=0.1, resamples=60, seed=5)
    (rows,) = resampled(150, 30, 60, 5)
    width = median_distance(reference)
    marks = [(reference - reference.mean(0)) / reference.std(0)]
    marks.append(np.abs(marks[0]))
    found = []
    for chosen in rows:
        others = np.setdiff1d(np.arange(150), chosen)
        shifts = [np.abs(mark[chosen].mean(0) - mark[others].mean(0)) / mark.std(0) / np.sqrt(1 / 30 + 1 / 120) for mark in marks]
        found.append([mmd(reference[chosen], reference[others], width) * balance(30, 120), shifts[0].max(), shifts[1].max()])
    expected = dict(zip(("mmd", "mean", "spread"), np.sort(np.array(found).T, axis=1), strict=True))
    for name, values in zip(detector._family.names, detector._family.values, strict=True):
        assert values == pytest.approx(expected[name], rel=1e-3, abs=1e-4), name


def test_thresholds_of_a_family_by_hand():
    """Ten resamples; the tests are never extreme at once: each gives half of the two alarms that are allowed."""
    first, second = np.arange(10.0), np.arange(10.0)[::-1]
    family = Family.calibrate({"first": first, "second": second}, level=0.2)
    assert family.thresholds.tolist() == [8, 8]
    assert sum(family.judge({"first": a, "second": b}, 1).alarm for a, b in zip(first, second, strict=True)) == 2
    seen = family.judge({"first": 8.5, "second": 0.0}, 7)
    assert (seen.alarm, seen.size, seen.statistic) == (True, 7, 8.5 / 8)
    assert seen.p_value == pytest.approx(3 / 11)  # two resamples have a test as extreme as the most extreme of ten
    together = Family.calibrate({"first": first, "second": first}, level=0.2)
    assert together.thresholds.tolist() == [7, 7]


def test_quiet_traffic_alarms_at_the_stated_rate():
    """Ten references, forty fresh windows each; 99.9% interval of the rate."""
    alarms = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        detector = EmbeddingDrift(vectors(random, 500), size=50, level=0.1, resamples=400)
        alarms += [detector.judge(vectors(random, 50)).alarm for _ in range(40)]
    rate = wilson(sum(alarms), len(alarms), level=0.999)
    assert rate.low < 0.1 < rate.high


def test_p_values_of_quiet_scores_are_uniform():
    random = np.random.default_rng(4)
    p_values = []
    for _ in range(10):
        detector = ScoreDrift(random.gamma(2, size=500), size=50, level=0.1, resamples=400)
        p_values += [detector.judge(random.gamma(2, size=50)).p_value for _ in range(40)]
    spread = mean_interval(np.array(p_values))
    assert spread.low - 0.02 < 0.5 < spread.high + 0.02
    rate = wilson(sum(value <= 0.1 for value in p_values), len(p_values), level=0.999)
    assert rate.low < 0.1 < rate.high


def test_a_shift_of_a_tenth_of_the_dimensions_is_seen(detector):
    random = np.random.default_rng(6)
    deviations = vectors(random, 5000).std(axis=0)
    for _ in range(20):
        moved = vectors(random, 500)
        dims = random.permutation(DIM)[:2]
        moved[:, dims] += 0.5 * deviations[dims]
        assert detector.judge(moved).alarm


@pytest.mark.parametrize(
    ("change", "test"),
    [
        (lambda window: window * 1.5, "spread"),  # longer vectors: the mean stays
        (lambda window: np.roll(window, DIM // 2, axis=1), "mmd"),  # each dimension in another's place
        (lambda window: np.repeat(window[:2], 50, axis=0), "mmd"),  # a few vectors over and over
    ],
)
def test_changes_that_are_no_shift(detector, change, test):
    found = detector.judge(change(vectors(np.random.default_rng(7), 100)))
    assert found.alarm
    assert found.values[test] > found.thresholds[test]
    assert found.statistic > 1
    assert found.p_value < 0.01


def test_other_scores_are_seen():
    random = np.random.default_rng(8)
    detector = ScoreDrift(random.normal(0.7, 0.1, 1000), size=100, level=0.01, resamples=1000)
    assert detector.judge(random.normal(0.6, 0.1, 300)).alarm
    assert not detector.judge(random.normal(0.7, 0.1, 300)).alarm


def test_a_dimension_that_stands_still_is_no_alarm():
    """A dead unit of a tower, and its rounding."""
    random = np.random.default_rng(10)
    reference, window = (np.concatenate([vectors(random, rows), np.zeros((rows, 1), np.float32)], axis=1) for rows in (500, 50))
    detector = EmbeddingDrift(reference, size=50, level=0.01, resamples=500)
    window[:, -1] = 1e-7
    assert not detector.judge(window).alarm
    window[:, -1] = 0.1
    assert detector.judge(window).alarm


def test_equal_vectors_can_be_a_reference():
    detector = EmbeddingDrift(np.ones((200, 4), np.float32), size=30, level=0.01, resamples=200)
    assert not detector.judge(np.ones((30, 4), np.float32)).alarm
    assert detector.judge(np.zeros((30, 4), np.float32)).alarm


def test_sizes_of_windows():
    assert [window_size(rows, 500) for rows in (99, 100, 943, 2000, 20_000)] == [None, 30, 94, 200, 500]
    assert spread_over(10, 4).tolist() == [0, 3, 6, 9]
    assert spread_over(3, 5).tolist() == [0, 1, 2]
