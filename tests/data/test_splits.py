from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from tt_hydra.data.declaration import SplitSpec
from tt_hydra.data.splits import PAST, TEST, TEST_AGAIN, TRAIN, VALID, VALID_AGAIN, HoldOut, assign, only_new
from tt_hydra.errors import DataError

NONE = HoldOut(share=0.0, last_only=False, seed=0)


def events(lengths, **columns):
    queries = np.repeat(np.arange(len(lengths)), lengths)
    return pl.DataFrame({"query": queries, **columns}), np.concatenate([[0], np.cumsum(lengths)])


def test_leave_last_out_needs_two_events_for_test_and_three_for_validation():
    parts = assign(*events([0, 1, 2, 3, 5]), SplitSpec(kind="leave_last_out"), NONE)
    assert parts.tolist() == [TRAIN, TRAIN, TEST, TRAIN, VALID, TEST, TRAIN, TRAIN, TRAIN, VALID, TEST]


def test_temporal_moments_belong_to_the_later_part():
    frame = events([4, 2], time=[1, 9, 10, 20, 9, 19])
    parts = assign(*frame, SplitSpec(kind="temporal", valid_from=10, test_from=20), NONE)
    assert parts.tolist() == [TRAIN, TRAIN, VALID, TEST, TRAIN, VALID]


def test_what_is_too_old_to_learn_from_is_past():
    frame = events([4, 3], time=[1, 5, 10, 20, 4, 5, 6])
    parts = assign(*frame, SplitSpec(kind="temporal", learn_from=5, valid_from=10, test_from=20), NONE)
    assert parts.tolist() == [PAST, TRAIN, VALID, TEST, PAST, TRAIN, TRAIN]


def test_only_what_a_query_did_not_have_is_asked():
    """Item 7 is known from training, item 8 from validation; another query's events say nothing."""
    frame, _ = events([6, 2], item=[7, 7, 8, 8, 7, 9, 8, 7])
    parts = np.array([TRAIN, VALID, VALID, TEST, TEST, TEST, TRAIN, TEST], np.int8)
    assert only_new(parts, frame).tolist() == [TRAIN, VALID_AGAIN, VALID, TEST_AGAIN, TEST_AGAIN, TEST, TRAIN, TEST]
    assert parts[1] == VALID, "the given parts stay as they are"


def test_temporal_without_validation_holds_out_training_queries():
    frame = events([3, 3, 3, 3], time=[1, 2, 9] * 4)
    spec = SplitSpec(kind="temporal", test_from=9)
    whole = assign(*frame, spec, HoldOut(share=0.25, last_only=False, seed=3)).reshape(4, 3)
    assert sorted(row.tolist() for row in whole) == [[TRAIN, TRAIN, TEST]] * 3 + [[VALID, VALID, TEST]]
    last = assign(*frame, spec, HoldOut(share=0.25, last_only=True, seed=3)).reshape(4, 3)
    assert sorted(row.tolist() for row in last) == [[TRAIN, TRAIN, TEST]] * 3 + [[TRAIN, VALID, TEST]]


def test_what_a_part_that_stands_before_holds_is_not_new_whatever_its_time():
    """Items 7 and 8 are tested before they are trained on and validated, as a random split may have it; 9 is for validation alone."""
    frame, _ = events([6], item=[7, 8, 9, 7, 8, 7])
    parts = np.array([TEST, TEST, VALID, TRAIN, VALID, VALID], np.int8)
    assert only_new(parts, frame).tolist() == [TEST_AGAIN, TEST_AGAIN, VALID, TRAIN, VALID_AGAIN, VALID_AGAIN]


def test_where_only_new_items_are_asked_for_a_last_event_with_an_old_one_is_not_held_out():
    """Of ten queries two end with an item that they did not have: a fifth of the queries is held out, not a fifth of these two."""
    frame = events([3] * 10, item=[1, 2, 1] * 8 + [1, 1, 2] * 2, split=["train"] * 30)
    parts = assign(*frame, SplitSpec(kind="given"), HoldOut(share=0.2, last_only=True, seed=0, only_new=True))
    assert np.flatnonzero(parts == VALID).tolist() == [26, 29]
    assert (only_new(parts, frame[0]) == parts).all()


def test_without_order_any_one_event_is_held_out():
    frame = events([10] * 200, split=["train"] * 2000)
    parts = assign(*frame, SplitSpec(kind="given"), HoldOut(share=1.0, last_only=True, seed=0, ordered=False)).reshape(200, 10)
    assert ((parts == VALID).sum(axis=1) == 1).all()
    assert (parts == VALID).sum(axis=0).min() > 5  # 20 expected


@pytest.mark.parametrize(
    ("spec", "columns", "message"),
    [
        (SplitSpec(kind="temporal", test_from=3), {}, "needs a time"),
        (SplitSpec(kind="temporal", valid_from=5, test_from=3), {"time": [1]}, "not before"),
        (SplitSpec(kind="temporal", learn_from=5, valid_from=5, test_from=9), {"time": [1]}, "nothing is left to learn from"),
        (SplitSpec(kind="temporal", test_from="2024-01-01"), {"time": [1]}, "not in the unit"),
        (SplitSpec(kind="given"), {}, "column that says train"),
        (SplitSpec(kind="given"), {"split": ["dev"]}, "'dev' in 1 row"),
        (SplitSpec(kind="given"), {"split": pl.Series([None], dtype=pl.String)}, "None in 1 row"),
    ],
)
def test_what_a_split_cannot_work_with(spec, columns, message):
    with pytest.raises(DataError, match=message):
        assign(*events([1], **columns), spec, NONE)


def test_random_has_its_shares_and_depends_on_the_seed():
    frame, spec = events([100]), SplitSpec(kind="random", valid=0.2, test=0.1)
    first, again, other = (assign(*frame, spec, HoldOut(share=0, last_only=False, seed=seed)) for seed in (1, 1, 2))
    assert np.bincount(first).tolist() == [70, 20, 10]
    assert (first == again).all()
    assert (first != other).any()


def test_random_may_leave_queries_whole():
    lengths, spec = [1, 4, 2, 5] * 25, SplitSpec(kind="random", valid=0.2, test=0.1)
    frame, offsets = events(lengths)
    parts = assign(frame, offsets, spec, HoldOut(share=0, last_only=False, seed=1, whole=True))
    assert [len(set(parts[first:last])) for first, last in pairwise(offsets)] == [1] * 100
    assert np.bincount(parts[offsets[:-1]]).tolist() == [70, 20, 10], "shares of the queries"
    single = events([1] * 100)
    each, whole = (assign(*single, spec, HoldOut(share=0, last_only=False, seed=1, whole=whole)) for whole in (False, True))
    assert (each == whole).all(), "the same where a query has one event"


def test_given_keeps_its_validation_part():
    frame = events([3], split=["train", "valid", "test"])
    assert assign(*frame, SplitSpec(kind="given"), HoldOut(share=0.5, last_only=False, seed=0)).tolist() == [TRAIN, VALID, TEST]


def test_given_without_validation_holds_out_a_share_of_the_training_queries():
    frame = events([2] * 20, split=["train", "train"] * 10 + ["test", "test"] * 10)
    parts = assign(*frame, SplitSpec(kind="given"), HoldOut(share=0.2, last_only=False, seed=0)).reshape(20, 2)
    assert (parts[:, 0] == parts[:, 1]).all()
    assert np.bincount(parts[:, 0]).tolist() == [8, 2, 10]


@pytest.mark.parametrize(("queries", "held"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_a_share_holds_out_at_least_one_query_and_leaves_at_least_one(queries, held):
    frame = events([1] * queries + [1], split=["train"] * queries + ["test"])
    parts = assign(*frame, SplitSpec(kind="given"), HoldOut(share=0.1, last_only=False, seed=0))
    assert (parts == VALID).sum() == held
