from __future__ import annotations

import math

import pytest

from tt_hydra.monitor.intervals import binomial_tail, wilson


@pytest.mark.parametrize(("hits", "trials"), [(8, 10), (1, 3), (497.3, 500), (0.5, 40)])
def test_ends_of_wilsons_interval_are_shares_that_lie_just_1_96_errors_away(hits, trials):
    found = wilson(hits, trials)
    assert found.value == hits / trials
    for end in (found.low, found.high):
        assert abs(found.value - end) / math.sqrt(end * (1 - end) / trials) == pytest.approx(1.959964, rel=1e-6)
    assert found.low < found.value < found.high


def test_wilson_by_hand():
    """8 of 10, z^2 = 3.8415: centre (.8 + .19207) / 1.38415 = .71674, half width 1.95996 sqrt(.016 + .0096036) / 1.38415 = .22657."""
    found = wilson(8, 10)
    assert (found.low, found.high) == (pytest.approx(0.49016, abs=1e-4), pytest.approx(0.94332, abs=1e-4))


def test_wilson_at_its_edges():
    none, some, every = wilson(0, 0), wilson(0, 20), wilson(20, 20)
    assert (none.low, none.high) == (0, 1)
    # all of 20: 1 / (1 + z^2 / 20)
    assert (every.low, every.high) == (pytest.approx(1 / (1 + 3.841459 / 20), rel=1e-5), 1)
    assert (some.low, some.high) == (pytest.approx(0), pytest.approx(1 - every.low))
    with pytest.raises(ValueError, match="0 to 3 hits"):
        wilson(4, 3)


@pytest.mark.parametrize(
    ("hits", "trials", "share"), [(0, 5, 0.2), (3, 5, 0.2), (5, 5, 0.2), (30, 100, 0.2), (1, 40, 0.001), (90, 100, 0.5)]
)
def test_a_binomial_tail_is_the_sum_of_its_terms(hits, trials, share):
    terms = [math.comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in range(hits, trials + 1)]
    assert binomial_tail(hits, trials, share) == pytest.approx(sum(terms), rel=1e-9)


def test_binomial_tails_of_many_trials_and_of_certain_events():
    scipy = pytest.importorskip("scipy.stats")
    assert binomial_tail(10_400, 100_000, 0.1) == pytest.approx(scipy.binom.sf(10_399, 100_000, 0.1), rel=1e-6)
    assert binomial_tail(99_000, 1_000_000, 0.1) == pytest.approx(scipy.binom.sf(98_999, 1_000_000, 0.1), rel=1e-6)
    assert binomial_tail(90_000, 100_000, 0.1) == 0
    assert (binomial_tail(1, 10, 0.0), binomial_tail(0, 10, 0.0), binomial_tail(10, 10, 1.0)) == (0, 1, 1)
