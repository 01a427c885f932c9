from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.negatives.frequency import log_marginal, log_presence, log_share


def test_shares_of_counts_that_are_all_seen_are_exact() -> None:
    assert np.exp(log_share(np.array([6, 3, 1], np.float32))) == pytest.approx([0.6, 0.3, 0.1])


def test_unseen_items_count_as_half_of_the_rarest() -> None:
    """(4, 0, 2, 0) becomes (4, 1, 2, 1)."""
    assert np.exp(log_share(np.array([4, 0, 2, 0], np.float32))) == pytest.approx([0.5, 0.125, 0.25, 0.125])


def test_power() -> None:
    """Square roots of (16, 4, 1) are (4, 2, 1)."""
    assert np.exp(log_share(np.array([16, 4, 1], np.float32), 0.5)) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_the_tail_of_a_large_catalogue_is_not_flattened() -> None:
    """Two items rarer than one in ten million still differ by their ratio of 4."""
    logs = log_share(np.array([4e9, 4, 1], np.float32))
    assert logs[1] - logs[2] == pytest.approx(np.log(4), abs=1e-5)


def test_one_draw_in_a_large_catalogue_is_the_first_draw() -> None:
    first = log_share(np.arange(1, 5001, dtype=np.float32))
    np.testing.assert_allclose(log_marginal(first, 1), first, atol=4e-4)


def test_everything_drawn_is_the_same_for_all() -> None:
    assert log_marginal(log_share(np.array([90, 9, 1], np.float32)), 3) == pytest.approx([-np.log(3)] * 3)


@pytest.mark.parametrize("draws", [2, 50, 90, 99])
def test_marginals_sum_to_one_and_none_is_above_certainty(draws: int) -> None:
    first = log_share((1e6 / np.arange(1, 101) ** 2).astype(np.float32))
    marginal = np.exp(log_marginal(first, draws))
    assert marginal.sum() == pytest.approx(1, abs=1e-5)
    assert (marginal <= (1 + 1e-6) / draws).all()
    assert (np.diff(marginal) <= 1e-9).all()


def test_presence_by_hand() -> None:
    """Among two draws: 1 - .5 ** 2 = .75 and 1 - .9 ** 2 = .19; an item that every draw gives is there."""
    presence = np.exp(log_presence(np.log(np.array([0.5, 0.1, 1.0], np.float32)), 2))
    assert presence == pytest.approx([0.75, 0.19, 1.0], abs=1e-6)


def test_presence_of_rare_items_is_proportional_to_their_share() -> None:
    logs = log_presence(np.log(np.array([1e-9, 4e-9], np.float32)), 1000)
    assert logs[1] - logs[0] == pytest.approx(np.log(4), abs=1e-5)


def test_presence_is_how_often_a_batch_holds_an_item() -> None:
    share, batch, trials = np.array([0.6, 0.25, 0.1, 0.05]), 6, 20_000
    drawn = np.random.default_rng(0).choice(4, size=(trials, batch), p=share)
    seen = np.array([(drawn == item).any(axis=1).mean() for item in range(4)])
    assert np.exp(log_presence(np.log(share).astype(np.float32), batch)) == pytest.approx(seen, abs=0.015)
