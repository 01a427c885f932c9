from __future__ import annotations

import math

import numpy as np
import pytest
from training_views import ragged, request_of

from tt_hydra.contracts import Drawn, Hardness, Origin
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.frequency import log_share
from tt_hydra.negatives.pool import FittedPool, Pool, PoolRule

POOL = Pool.of(
    candidates=ragged([[10, 11, 12, 13], [], [20, 21]]),
    scores=np.array([0.9, 0.6, 0.5, 0.1, -0.3, -0.9], np.float32),
    known=ragged([[2, 1], [], [3]]),
    known_scores=np.array([0.8, 0.6, -0.5], np.float32),
    num_items=40,
)
QUESTIONS = np.array([0, 1, 2, 0])
POSITIVES = [2, 5, 3, 1]
PLAIN = Hardness()


def fitted(**rule: float) -> FittedPool:
    return FittedPool(PoolRule(**rule), Origin.MINED, QUESTIONS, log_share(np.ones(40, np.float32)), POOL)  # type: ignore[arg-type]


def draw(sampler: FittedPool, hardness: Hardness = PLAIN) -> Drawn:
    return sampler.draw(request_of(POSITIVES, hardness=hardness), np.random.default_rng(0))


def pairs(drawn: Drawn) -> list[tuple[int, int]]:
    return sorted(zip(drawn.owner.tolist(), drawn.rows.tolist(), strict=True))


def test_all_candidates_of_each_question_where_many_are_wanted() -> None:
    drawn = draw(fitted(per_query=9))
    assert pairs(drawn) == [*[(0, row) for row in (10, 11, 12, 13)], (2, 20), (2, 21), *[(3, row) for row in (10, 11, 12, 13)]]
    assert drawn.chances.log_q_of(drawn.rows).tolist() == [0.0] * 10
    assert set(drawn.origin.tolist()) == {Origin.MINED}
    assert (np.diff(drawn.owner) >= 0).all(), "in ascending order of the query"


def test_ranks_are_counted_from_one_and_both_ends_count() -> None:
    assert pairs(draw(fitted(per_query=9, first=2, last=3))) == [(0, 11), (0, 12), (2, 21), (3, 11), (3, 12)]


def test_the_window_of_the_step_goes_before_the_rule_s() -> None:
    assert pairs(draw(fitted(per_query=9), Hardness(window=(4, 9)))) == [(0, 13), (3, 13)]


def test_a_ratio_keeps_its_distance_below_positives_of_either_sign() -> None:
    """Limits at .9: .72 for the positive .8, .54 for .6 and -.55 for -.5; a plain product would allow -.3 under -.5."""
    expected = [(0, 11), (0, 12), (0, 13), (2, 21), (3, 12), (3, 13)]
    assert pairs(draw(fitted(per_query=9, ratio=0.9))) == expected
    assert pairs(draw(fitted(per_query=9, ratio=0.1), Hardness(margin=0.9))) == expected


def test_a_gap_is_taken_off_the_positive() -> None:
    """Limits: .5, .3 and -.8."""
    assert pairs(draw(fitted(per_query=9, gap=0.3))) == [(0, 12), (0, 13), (2, 21), (3, 13)]


def test_the_margin_of_the_step_stands_in_for_a_gap() -> None:
    assert pairs(draw(fitted(per_query=9, gap=5.0), Hardness(margin=0.9))) == pairs(draw(fitted(per_query=9, ratio=0.9)))


def test_an_unknown_positive_sets_no_limit() -> None:
    sampler = fitted(per_query=9, ratio=0.1)
    drawn = sampler.draw(request_of([7]), np.random.default_rng(0))
    assert len(drawn.rows) == 4


def many_times(times: int, hardness: Hardness = PLAIN) -> Drawn:
    """Three of the first question's four candidates, for as many queries that ask it."""
    sampler = FittedPool(PoolRule(per_query=3), Origin.MINED, np.zeros(times, np.int64), log_share(np.ones(40, np.float32)), POOL)
    return sampler.draw(request_of([2] * times, hardness=hardness), np.random.default_rng(0))


def chances_of_one(hardness: Hardness = PLAIN) -> list[float]:
    """How likely each candidate is to be drawn for a query that is alone."""
    return np.exp(many_times(1, hardness).chances.log_q_of(np.arange(10, 14))).tolist()


def test_n_of_w_without_replacement_as_often_as_the_chance_says() -> None:
    times = 4000
    drawn = many_times(times)
    assert np.bincount(drawn.owner).tolist() == [3] * times
    assert chances_of_one() == pytest.approx([3 / 4] * 4)
    assert np.bincount(drawn.rows)[10:14] / times == pytest.approx([0.75] * 4, abs=0.03)
    assert len(set(zip(drawn.owner.tolist(), drawn.rows.tolist(), strict=True))) == 3 * times


@pytest.mark.parametrize(("share", "chance"), [(0.5, 1.5 / 4), (0.25, 0.75 / 4), (1.0, 3 / 4)])
def test_a_share_keeps_its_mean_and_the_chance_knows(share: float, chance: float) -> None:
    times = 6000
    drawn = many_times(times, Hardness(share=share))
    assert chances_of_one(Hardness(share=share)) == pytest.approx([chance] * 4)
    assert (drawn.rows == 12).sum() / times == pytest.approx(chance, abs=4 * math.sqrt(chance / times))


def test_a_share_of_a_pool_smaller_than_the_draw() -> None:
    """Two candidates; 1.5 draws of them on average: one or both, so each with (1/2 + 1) / 2."""
    drawn = draw(fitted(per_query=3), Hardness(share=0.5))
    assert np.exp(drawn.chances.log_q_of(np.array([20, 21]))) == pytest.approx(0.75)


def test_no_share_is_no_negative() -> None:
    assert draw(fitted(per_query=3), Hardness(share=0.0)).rows.shape == (0,)


def test_without_a_pool_nothing_is_drawn_until_there_is_one() -> None:
    sampler = FittedPool(PoolRule(), Origin.MINED, QUESTIONS, log_share(np.ones(40, np.float32)))
    assert draw(sampler).rows.shape == (0,)
    sampler.pool = POOL
    assert draw(sampler).rows.shape == (3,)


@pytest.mark.parametrize(("keys", "named"), [({"per_query": 0}, "per_query"), ({"first": 0}, "first"), ({"first": 5, "last": 4}, "last")])
def test_rules_that_draw_nothing_are_refused(keys: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"negatives\.{named}"):
        PoolRule(**keys)  # type: ignore[arg-type]
