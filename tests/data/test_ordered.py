from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tt_hydra.data.ordered import grouped, read_events
from tt_hydra.data.splits import HoldOut
from tt_hydra.errors import DataError

NONE = HoldOut(share=0.0, last_only=False, seed=0)


def test_events_stand_by_query_time_and_source_row(make_tables):
    events = read_events(make_tables(), NONE, {})
    assert events.queries.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert events.items.tolist() == [0, 1, 2, 3, 0, 2, 5]
    assert events.offsets.tolist() == [0, 4, 6, 7, 7]
    reverse = read_events(make_tables(interactions=make_tables().interactions.reverse()), NONE, {})
    assert reverse.items.tolist() == [0, 2, 1, 3, 0, 2, 5]


def test_without_a_time_the_source_row_is_the_order(make_tables):
    interactions = make_tables().interactions.drop("time").reverse()
    events = read_events(make_tables(interactions=interactions), NONE, {})
    assert events.items.tolist() == [3, 2, 1, 0, 2, 0, 5]
    assert events.times.tolist() == events.rows.tolist() == [3, 4, 5, 6, 1, 2, 0]


def test_what_is_dropped_is_counted(make_tables):
    interactions = pl.DataFrame(
        {
            "query": ["u1", "u1", "u1", "nobody", "u2", "u2", "u3", "u3"],
            "item": ["a", "a", "a", "a", "nothing", "b", "c", "d"],
            "time": [1, 1, 2, 1, 1, None, 1, 1],
            "weight": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, None],
            "device": ["tv"] * 8,
        }
    )
    counts: dict[str, int] = {}
    events = read_events(make_tables(interactions=interactions), NONE, counts)
    assert events.rows.tolist() == [0, 2, 7]
    assert events.weights.tolist() == [1, 1, 1]
    assert counts == {
        "interactions dropped: unknown query": 1,
        "interactions dropped: unknown item": 1,
        "interactions dropped: no time": 1,
        "interactions dropped: weight not above zero": 1,
        "interactions dropped: duplicate row": 1,
    }


def test_pairs_with_other_negatives_are_no_duplicates(make_tables):
    interactions = pl.DataFrame({"query": ["u1"] * 3, "item": ["a"] * 3, "negatives": [["b"], ["c"], ["b"]]})
    assert len(read_events(make_tables(interactions=interactions), NONE, {})) == 2


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["a", None, "b"]])
def test_ids_that_are_missing_or_repeated(make_tables, ids):
    with pytest.raises(DataError, match="item table, row"):
        read_events(make_tables(items=pl.DataFrame({"id": ids})), NONE, {})


def test_grouped_gives_a_row_for_each_wanted_key():
    rows = grouped(np.array([0, 0, 2, 5]), {"x": np.array([7, 8, 9, 1])}, np.array([2, 0, 1, 5]))["x"]
    assert [rows.row(index).tolist() for index in range(4)] == [[9], [7, 8], [], [1]]
