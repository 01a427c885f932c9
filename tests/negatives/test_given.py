from __future__ import annotations

import numpy as np
import pytest
from training_views import ragged, request_of, view_of

from tt_hydra.contracts import Drawn, Origin
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.given import Given

NAMED = ragged([[10, 11, 12], [20], [], [11, 30, 31, 30]])
TEACHER = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.6], np.float32)


def draw(per_query: int, generator: np.random.Generator) -> Drawn:
    fitted = Given(per_query=per_query).fit(view_of([1] * 50))
    return fitted.draw(request_of(range(4), NAMED, given_teacher=TEACHER), generator)


def test_all_where_there_are_few_each_of_them_owned_once() -> None:
    drawn = draw(4, np.random.default_rng(0))
    assert sorted(zip(drawn.owner.tolist(), drawn.rows.tolist(), strict=True)) == [
        *[(0, 10), (0, 11), (0, 12)],
        (1, 20),
        *[(3, 11), (3, 30), (3, 31)],
    ]
    assert drawn.chances.log_q_of(drawn.rows).tolist() == [0.0] * 7, "what is certain needs no correction"
    assert set(drawn.origin.tolist()) == {Origin.GIVEN}


def test_each_row_keeps_its_teacher_score() -> None:
    drawn = draw(4, np.random.default_rng(0))
    expected = {(0, 10): 0.1, (0, 11): 0.2, (0, 12): 0.3, (1, 20): 0.4, (3, 11): 0.5, (3, 30): 0.6, (3, 31): 0.7}
    told = {(owner, row): score for owner, row, score in zip(drawn.owner, drawn.rows, drawn.teacher, strict=True)}
    assert told == pytest.approx(expected)


def test_a_row_is_drawn_for_any_query_as_often_as_its_chance_says() -> None:
    """Two of three are drawn for queries 0 and 3, both of which name row 11: it is missing with 1/3 x 1/3."""
    generator, times = np.random.default_rng(0), 4000
    expected = {10: 2 / 3, 11: 8 / 9, 12: 2 / 3, 20: 1.0, 30: 2 / 3, 31: 2 / 3}
    seen = dict.fromkeys(expected, 0)
    for _ in range(times):
        drawn = draw(2, generator)
        assert np.bincount(drawn.owner, minlength=4).tolist() == [2, 1, 0, 2]
        assert (np.diff(drawn.owner) >= 0).all()
        for row in np.unique(drawn.rows).tolist():
            seen[row] += 1
    rows = np.array(list(expected))
    assert np.exp(drawn.chances.log_q_of(rows)) == pytest.approx(list(expected.values()), rel=1e-6)
    assert {row: count / times for row, count in seen.items()} == pytest.approx(expected, abs=0.03)


def test_queries_that_name_none() -> None:
    drawn = Given().fit(view_of([1] * 50)).draw(request_of(range(2), ragged([[], []])), np.random.default_rng(0))
    assert drawn.rows.shape == drawn.owner.shape == drawn.teacher.shape == (0,)


def test_without_a_teacher_the_scores_are_unknown() -> None:
    drawn = Given().fit(view_of([1] * 50)).draw(request_of([1, 2], ragged([[3], [4]])), np.random.default_rng(0))
    assert np.isnan(drawn.teacher).all()


def test_data_without_negatives_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"negatives=in_batch"):
        Given().fit(view_of([1] * 50)).draw(request_of([1, 2]), np.random.default_rng(0))
