from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tt_hydra.data.guess.column import extremes, look, mean, share


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([1, 2, None], "number"),
        (["1.5", " 2", "n/a"], "number"),
        (["007", "8"], "text"),
        (["a", None], "text"),
        ([True, False], "bool"),
        ([["a"], []], "list"),
        ([{"a": 1}], "other"),
        ([b"x"], "other"),
        ([timedelta(seconds=3), None], "other"),
        ([None, None], "text"),
    ],
)
def test_shapes(values, shape):
    assert look(pl.Series("x", values)).shape == shape


def test_dates_are_dates_and_a_time_of_day_is_not():
    dates = pl.Series("x", ["2024-01-01"]).str.to_date()
    assert look(dates).shape == "date"
    assert look(dates.cast(pl.Datetime("us"))).shape == "date"
    assert look(pl.Series("x", [0]).cast(pl.Time)).shape == "other"


def test_what_is_missing_is_not_counted():
    column = look(pl.Series("x", ["b", "b", "", None, "c"]))
    assert (column.rows, column.known, column.distinct) == (5, 3, 2)
    assert column.different == pytest.approx(2 / 3)
    numbers = look(pl.Series("x", [1.0, float("nan"), None, 1.0]))
    assert (numbers.known, numbers.distinct, numbers.whole) == (2, 1, True)


def test_ids_are_texts_or_whole_numbers():
    assert look(pl.Series("x", [1.0, 2.0])).can_be_id
    assert look(pl.Series("x", ["a"])).can_be_id
    assert not look(pl.Series("x", [1.5])).can_be_id
    assert not look(pl.Series("x", [True])).can_be_id
    assert not look(pl.Series("x", [None], dtype=pl.String)).can_be_id


def test_words_and_characters():
    column = look(pl.Series("x", ["one two", "three", None]))
    assert column.words() == 1.5
    assert column.characters() == 6.0
    assert column.share_matching("^t") == 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.998, "99.8%"), (0.99995, "over 99.99%"), (0.00001, "under 0.01%"), (0.0123, "1.2%")],
)
def test_a_share_is_all_or_nothing_only_where_it_is(value, text):
    assert share(value) == text


def test_nothing_has_a_mean_and_extremes():
    assert mean(pl.Series("x", [], dtype=pl.Float64)) == 0.0
    assert extremes(pl.Series("x", [], dtype=pl.Float64)) == (0.0, 0.0)
    assert extremes(pl.Series("x", [3, 1])) == (1.0, 3.0)
