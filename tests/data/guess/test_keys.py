from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.data.guess.column import look
from tt_hydra.data.guess.keys import QUERIES, by_name, match, query_by_name
from tt_hydra.data.guess.names import ITEM
from tt_hydra.errors import DataError


def columns(**values):
    return [look(pl.Series(name, cells)) for name, cells in values.items()]


def test_the_same_name_and_the_same_values():
    key = match(columns(item_id=["a", "b", "a"], user_id=["u", "u", "v"]), columns(title=["x y", "z"], item_id=["a", "b"]), ITEM, "items")
    assert (key.event, key.table) == ("item_id", "item_id")
    assert "100% of the interactions' values are found" in key.why


def test_half_found_is_told():
    key = match(columns(item_id=["a", "b", "x", "y"]), columns(item_id=["a", "b", "c", "d"]), ITEM, "items")
    assert key.why.startswith("50% of the interactions' values are found")
    assert "50% of which they name" in key.why


def test_numbers_that_everything_finds_are_told_apart_by_their_names():
    """Dense numbers: users 0 to 2 are all found among items 0 to 3, and so is the quantity."""
    events = columns(user_id=[0, 1, 2, 0], item_id=[0, 1, 2, 3], quantity=[1, 1, 1, 2])
    assert match(events, columns(item_id=[0, 1, 2, 3], org_id=[9, 0, 1, 2]), ITEM, "items").event == "item_id"


def test_a_table_may_call_its_id_id():
    key = match(columns(qid=[1, 1], movieId=[7, 8]), columns(id=[7, 8, 9], year=[1, 2, 3]), ITEM, "movies")
    assert (key.event, key.table) == ("movieId", "id")


def test_names_that_say_nothing_need_values_that_say_everything():
    key = match(columns(a=["p", "q"], b=["i", "j"]), columns(c=["i", "j", "k"]), ITEM, "items")
    assert (key.event, key.table) == ("b", "c")


def test_two_columns_that_would_do_are_asked_about():
    key = match(columns(source=["i", "j"], target=["j", "k"]), columns(name=["i", "j", "k"]), ITEM, "items")
    assert key.event is None
    assert key.candidates == ("source", "target")
    assert key.table == "name"


def test_a_column_of_a_few_values_is_no_id_of_many_rows():
    """Grades from 0 to 4 are found among the numbers from 0 to 79, of which they name 6%."""
    table = columns(ref=list(range(80)), title=[f"t{n}" for n in range(80)])
    grades = {f"f{n}": [row % 5 for row in range(160)] for n in range(199)}
    with pytest.raises(DataError, match=r"f18, f19, and 179 more\) holds the ids of items \(ref, title\)"):
        match(columns(**grades), table, ITEM, "items")
    assert match(columns(**grades, taken=[row % 80 for row in range(160)]), table, ITEM, "items").event == "taken"


def test_a_column_that_names_far_fewer_ids_than_another_is_no_candidate():
    table = columns(ref=list(range(80)), title=[f"t{n}" for n in range(80)])
    events = columns(hour=[row % 24 for row in range(160)], taken=[row % 80 for row in range(160)])
    assert match(events, table, ITEM, "items").event == "taken"
    assert match(
        columns(hour=[row % 40 for row in range(160)], taken=[row % 80 for row in range(160)]), table, ITEM, "items"
    ).candidates == (
        "taken",
        "hour",
    )


def test_of_many_candidates_a_few_are_listed_the_likeliest_first():
    table = columns(ref=list(range(80)), title=[f"t{n}" for n in range(80)])
    key = match(columns(**{f"f{n}": [row % (60 + n) for row in range(160)] for n in range(9)}), table, ITEM, "items")
    assert key.candidates == ("f8", "f7", "f6", "f5", "f4", "f3", "f2", "f1", "f0")
    assert key.why == "the values of 'f8' and of 'f7' and of 'f6' and of 'f5' and of 'f4' and of 4 more are found in 'ref'"


def test_a_small_part_of_a_large_catalogue_is_enough_where_it_is_many():
    table = columns(ref=[f"p{n}" for n in range(3000)], title=[f"t{n}" for n in range(3000)])
    assert match(columns(product=[f"p{n % 150}" for n in range(300)]), table, ITEM, "items").event == "product"


def test_an_id_of_a_user_is_no_item():
    with pytest.raises(DataError, match=r"no column of the interactions \(user_id\) holds the ids of items.csv \(item_id\)"):
        match(columns(user_id=[1, 2]), columns(item_id=[1, 2]), ITEM, "items.csv")


def test_repeated_ids_of_a_table():
    with pytest.raises(DataError, match=r"1 row\(s\) repeat the 'item_id' of an earlier row, the first in rows 1 and 3"):
        match(columns(item_id=["a", "b"]), columns(item_id=["a", "b", "a"], row=[1, 2, 3]), ITEM, "items")
    with pytest.raises(DataError, match=r"1 row\(s\) have no 'item_id'"):
        match(columns(item_id=["a", "b"]), columns(item_id=["a", "b", None]), ITEM, "items")


def test_whole_floats_are_the_same_ids():
    assert match(columns(item=[1.0, 2.0]), columns(item=["1", "2"]), ITEM, "items").event == "item"


def test_users_and_queries_are_of_one_side():
    assert match(columns(query_id=["a"], x=["b"]), columns(_id=["a", "b"]), QUERIES, "queries").event == "query_id"


def test_without_a_table_the_name_decides():
    events = columns(sku=["a", "b"], buyer=["u", "u"], price=[1.5, 2.5])
    assert by_name(events, ITEM, "item").event == "sku"
    assert by_name(columns(x=[1, 2]), ITEM, "item").event is None
    both = by_name(columns(item_id=["a", "b"], product_id=["c", "d"]), ITEM, "item")
    assert both.event is None
    assert both.candidates == ("item_id", "product_id")


def test_a_title_is_no_id():
    assert by_name(columns(movie=["The Third Man", "Vertigo Rising Again"], movie_id=[1, 2]), ITEM, "item").event == "movie_id"


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ({"user_id": [1, 1, 2, 2], "session_id": [1, 2, 3, 3]}, "user_id"),
        ({"session": [1, 1, 2, 2], "item": [1, 2, 3, 4]}, "session"),
        ({"key": [1, 1, 2, 2], "n": [1, 2, 3, 4]}, "key"),
        ({"user_id": [1, 2, 3, 4], "n": [1, 1, 1, 2]}, None),
        ({"user_id": [1, 1, 2, 2], "customer_id": [1, 2, 2, 2]}, None),
    ],
)
def test_a_query_comes_again(events, found):
    assert query_by_name(columns(**events)).event == found


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ({"user": [7, 7, 7, 7], "item": [1, 2, 3, 4]}, "'user' is called so, but all rows have the same"),
        ({"user": [1, 2, 3, 4], "item": [1, 2, 3, 4]}, "'user' is called so, but its values do not come again"),
        ({"x": [1, 2, 3, 4], "item": [1, 2, 3, 4]}, "no column is called like the id of a user, a session or a query"),
    ],
)
def test_a_user_column_that_cannot_be_it_is_named(events, why):
    key = query_by_name(columns(**events))
    assert (key.event, key.why) == (None, why)
    assert key.candidates == (("user",) if "user" in events else ())
