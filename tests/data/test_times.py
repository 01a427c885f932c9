"""Times of any form become whole numbers, and moments of a split follow the unit of the column."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest

from tt_hydra.data.declaration import SplitSpec
from tt_hydra.data.times import read_times
from tt_hydra.errors import DataError

NOON = 1_717_243_200  # 2024-06-01T12:00:00Z
DAY = 1_717_200_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([datetime(2024, 6, 1, 12)], NOON * 10**6),
        ([datetime(2024, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))], NOON * 10**6),
        ([datetime(2024, 6, 1, 12, tzinfo=UTC)], NOON * 10**6),
        ([date(2024, 6, 1)], DAY * 10**6),
        ([NOON], NOON * 10**6),
        ([NOON * 1000], NOON * 10**6),
        ([NOON * 10**6], NOON * 10**6),
        ([NOON * 10**9], NOON * 10**6),
        ([NOON + 0.25], NOON * 10**6 + 250_000),
        ([Decimal(NOON) + Decimal("0.25")], NOON * 10**6 + 250_000),
        ([str(NOON)], NOON * 10**6),
        ([f"{NOON}.5"], NOON * 10**6 + 500_000),
        (["2024-06-01T12:00:00Z"], NOON * 10**6),
        (["2024-06-01 12:00:00"], NOON * 10**6),
        (["2024-06-01T12:00"], NOON * 10**6),
        (["2024-06-01T14:00:00.5+02:00"], NOON * 10**6 + 500_000),
        (["2024-06-01T14:00:00+0200"], NOON * 10**6),
        (["2024-06-01"], DAY * 10**6),
    ],
)
def test_one_moment_in_every_form(values: list[object], expected: int) -> None:
    times = read_times(pl.Series([*values, None]), "auto", "events.csv, column 'when'")
    assert times.unit == "us"
    assert times.values.dtype == pl.Int64
    assert times.values.to_list() == [expected, None]


def test_forms_may_be_mixed_in_a_column_of_texts() -> None:
    column = pl.Series(["2024-06-01", "2024-06-01T12:00:00.5", "2024-06-01T14:00:00+02:00", " 2024-06-01 12:00 "])
    assert (read_times(column, "auto", "x").values // 10**5).to_list() == [DAY * 10, NOON * 10 + 5, NOON * 10, NOON * 10]


@pytest.mark.parametrize(("first", "expected"), [("2024-06-01", DAY * 10**6), (str(NOON), NOON * 10**6)])
def test_an_empty_text_is_a_missing_time(first: str, expected: int) -> None:
    assert read_times(pl.Series([first, "", " ", None]), "auto", "x").values.to_list() == [expected, None, None, None]


def test_large_numbers_keep_every_digit() -> None:
    exact = 1_717_243_200_123_457
    assert read_times(pl.Series([exact]), "us", "x").values[0] == exact
    assert read_times(pl.Series([str(exact)]), "auto", "x").values[0] == exact
    assert read_times(pl.Series([exact * 1000 + 999]), "ns", "x").values[0] == exact


def test_small_numbers_only_order(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        times = read_times(pl.Series([3, 1, 2]), "auto", "events.csv, column 'step'")
    assert (times.unit, times.values.to_list()) == ("step", [3, 1, 2])
    assert "taken as plain order" in caplog.text
    assert read_times(pl.Series([3]), "s", "x").values.to_list() == [3_000_000]
    assert read_times(pl.Series([3.0, float("inf")]), "auto", "x").values.to_list() == [3, None], "an infinite one says no unit"


def test_fractions_are_no_steps() -> None:
    """Cut to whole numbers they would all be one moment."""
    with pytest.raises(DataError, match=r"column 'when': 0\.25 in row 2 .*time_unit"):
        read_times(pl.Series([None, 0.25, 0.75]), "auto", "events.csv, column 'when'")
    with pytest.raises(DataError, match=r"0\.5 in row 1"):
        read_times(pl.Series(["0.5"]), "step", "x")
    assert read_times(pl.Series([0.25, float("nan"), 3.0]), "s", "x").values.to_list() == [250_000, None, 3_000_000]
    assert read_times(pl.Series([2.0, None, float("nan"), 1.0]), "auto", "x").values.to_list() == [2, None, None, 1]


@pytest.mark.parametrize("text", ["01/02/2024", "2024-13-01", "yesterday", "2024-06-01T25:00"])
def test_what_is_no_time_is_named_with_its_row(text: str) -> None:
    with pytest.raises(DataError, match=r"column 'when': .* in row 2 is no time; write ISO 8601"):
        read_times(pl.Series(["2024-06-01", text]), "auto", "events.csv, column 'when'")


def test_other_types_are_no_times() -> None:
    with pytest.raises(DataError, match="is no time: it holds Boolean"):
        read_times(pl.Series([True]), "auto", "x")
    with pytest.raises(DataError, match="which is no moment"):
        read_times(pl.Series([timedelta(1)]), "auto", "x")


def test_moments_are_in_the_unit_of_the_column() -> None:
    dates, numbers, steps = (read_times(pl.Series([value]), "auto", "x") for value in ("2024-06-01", NOON, 5))
    split = SplitSpec(kind="temporal", valid_from="2024-05-31", test_from="2024-06-01T12:00:00Z")
    assert dates.resolve(split) == SplitSpec(kind="temporal", valid_from=(DAY - 86_400) * 10**6, test_from=NOON * 10**6)
    assert numbers.resolve(split) == dates.resolve(split)
    assert numbers.resolve(SplitSpec(kind="temporal", test_from=NOON)).test_from == NOON * 10**6
    assert numbers.resolve(SplitSpec(kind="temporal", test_from=str(NOON))).test_from == NOON * 10**6
    assert steps.resolve(SplitSpec(kind="temporal", test_from=4)).test_from == 4
    with pytest.raises(DataError, match=r"split\.test_from=4 is a number, but the time column holds dates"):
        dates.moment(4, "split.test_from")
    with pytest.raises(DataError, match="is a date, but the time column holds bare numbers"):
        steps.moment("2024-06-01", "split.test_from")
    with pytest.raises(DataError, match="is no time"):
        dates.moment("soon", "split.test_from")
