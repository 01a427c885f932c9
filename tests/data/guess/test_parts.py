from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.data.guess.column import look
from tt_hydra.data.guess.moments import find
from tt_hydra.data.guess.parts import divide, habits

DAY = 86_400
START = 1_700_006_400  # a midnight


def moment(values, name="timestamp"):
    return find([look(pl.Series(name, values))])[0]


def test_habits():
    """Query u took i twice and j, v took i: of 4 events 1 repeats; 3 and 1 events have the median 2; 4 events over 8 items."""
    events = pl.DataFrame({"query": ["u", "u", "u", "v"], "item": ["i", "i", "j", "i"]})
    found = habits(events, 8)
    assert (found.per_query, found.per_item, found.repeated) == (2.0, 0.5, 0.25)
    assert habits(events.clear(), 0).per_query == 0.0
    assert habits(events.with_columns(query=pl.lit(None, pl.String)), 8).repeated == 0.0, "of nobody it is not known"


def test_no_time_no_order():
    assert divide(pl.Series(["a"] * 10), None, 5.0).kind == "random"


def test_queries_that_come_back_are_divided_by_time():
    """100 events, one a day: cut at numbers 79 and 89, which leaves 10 and 11, at midnight."""
    found = divide(pl.Series(["a", "b"] * 50), moment([START + DAY * n + 5 for n in range(100)]), 50.0)
    assert (found.kind, found.valid_from, found.test_from) == ("temporal", '"2024-02-02"', '"2024-02-12"')
    assert "validation 10%, test 11%" in found.why
    assert "100% of the events from 2024-02-12 on" in found.why


def test_short_sessions_are_divided_each_by_itself():
    """A session a day, of four events: the last days' sessions were never there before."""
    found = divide(pl.Series([n // 4 for n in range(400)]), moment([START + DAY * (n // 4) + n for n in range(400)]), 4.0)
    assert found.kind == "leave_last_out"
    assert found.otherwise is not None
    assert "temporal" in found.otherwise


def test_single_events_are_divided_by_time():
    assert divide(pl.Series(range(100)), moment([START + DAY * n for n in range(100)]), 1.0).kind == "temporal"


def test_within_a_day_the_parts_begin_at_a_second():
    found = divide(pl.Series(["a"] * 100), moment([START + n for n in range(100)]), 100.0)
    assert (found.valid_from, found.test_from) == ('"2023-11-15T00:01:19+00:00"', '"2023-11-15T00:01:29+00:00"')


@pytest.mark.parametrize(("per_query", "kind"), [(5.0, "leave_last_out"), (1.0, "random")])
def test_times_that_are_all_the_same_cut_nothing(per_query, kind):
    assert divide(pl.Series(["a"] * 10), moment([START] * 9 + [START + 1]), per_query).kind == kind


@pytest.mark.parametrize(("per_query", "kind"), [(5.0, "leave_last_out"), (1.0, "temporal")])
def test_numbers_that_only_order(per_query, kind):
    found = divide(pl.Series(range(100)), moment(list(range(100)), "step"), per_query)
    assert found.kind == kind
    assert (found.valid_from, found.test_from) == ((None, None) if kind == "leave_last_out" else ("79", "89"))
