from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.data.guess.column import look
from tt_hydra.data.guess.moments import find, looks_like_dates, told

SECONDS = [1_700_000_000, 1_700_086_400]
MICROSECONDS = [1_700_000_000_000_000, 1_700_086_400_000_000]


def found(**values):
    return find([look(pl.Series(name, cells)) for name, cells in values.items()])


@pytest.mark.parametrize(("factor", "unit"), [(1, "s"), (1000, "ms"), (1_000_000, "us"), (1_000_000_000, "ns")])
@pytest.mark.parametrize("as_text", [False, True])
def test_numbers_since_1970(factor, unit, as_text):
    numbers = [each * factor for each in SECONDS]
    [moment] = found(timestamp=[str(each) for each in numbers] if as_text else numbers)
    assert moment.unit == unit
    assert moment.values.to_list() == MICROSECONDS
    assert moment.dated
    assert "from 2023-11-14 to 2023-11-15" in moment.why


def test_dates_and_texts_of_dates():
    texts = ["2023-11-14T22:13:20Z", "2023-11-15T22:13:20Z"]
    assert found(seen=texts)[0].values.to_list() == MICROSECONDS
    assert found(seen=pl.Series(texts).str.to_datetime())[0].values.to_list() == MICROSECONDS
    assert found(seen=["2023-11-14", "2023-11-40"]) == []
    assert looks_like_dates(look(pl.Series("when", ["14/11/2023", "15/11/2023"])))
    assert looks_like_dates(look(pl.Series("when", ["Nov 14, 2023", "Nov 15, 2023"])))
    assert not looks_like_dates(look(pl.Series("when", ["a", "b"])))


def test_an_order_without_a_clock():
    assert not found(day=[1, 2, 40])[0].dated
    assert found(day=[1, 2, 31]) == []
    assert found(step=[1, 2])[0].unit == "step"
    assert found(price=[1, 2]) == []
    assert found(step=[1.5, 2.0]) == []


def test_the_best_comes_first():
    moments = found(step=[1, 2], shipped=["2023-01-01", "2023-01-02"], created_at=["2023-01-01", "2023-01-02"])
    assert [moment.column.name for moment in moments] == ["created_at", "shipped", "step"]
    moments = found(date=["2023-01-01", "2023-01-01"], timestamp=SECONDS)
    assert [moment.column.name for moment in moments] == ["timestamp", "date"]


def test_large_numbers_of_another_kind():
    assert found(basket_id=[31_198_570_044, 31_198_570_047]) == []


def test_moments_are_told_as_they_are_written():
    assert told(0, day=True) == "1970-01-01"
    assert told(1_500_000) == "1970-01-01T00:00:01.500000+00:00"
    assert told(60_000_000) == "1970-01-01T00:01:00+00:00"
