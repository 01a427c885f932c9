"""Filters over columns of every type that a table may have, on rows of the bundle and on the same rows written again."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tt_hydra.data.encoders import Multi
from tt_hydra.errors import DataError
from tt_hydra.serve.catalogue import Items, jsonable
from tt_hydra.serve.filters import Masks

BERLIN = ZoneInfo("Europe/Berlin")
ROWS = 4
COLUMNS: dict[str, pl.Series] = {
    "day": pl.Series([date(2026, 1, 31), date(2026, 7, 1), date(1999, 12, 31), None]),
    "moment": pl.Series([datetime(2026, 1, 31, 12), datetime(2026, 7, 1), datetime(1999, 12, 31), None]),
    "zoned": pl.Series([datetime(2026, 1, 31, 12, tzinfo=BERLIN), datetime(2026, 7, 1, tzinfo=BERLIN), None, None]),
    "hour": pl.Series([time(12), time(0, 30), time(23, 59), None]),
    "length": pl.Series([timedelta(hours=2), timedelta(seconds=1.5), timedelta(0), None]),
    "price": pl.Series([1.5, 2, float("nan"), None], dtype=pl.Float32),
    "exact_price": pl.Series([Decimal("1.50"), Decimal("2.00"), Decimal("0.10"), None], dtype=pl.Decimal(10, 2)),
    "prices": pl.Series([[1.5], [2, 3], [], None], dtype=pl.List(pl.Float32)),
    "pair": pl.Series([[1, 2], [2, 3], [4, 5], None], dtype=pl.Array(pl.Int64, 2)),
    "exact_prices": pl.Series([[Decimal("1.50")]] * ROWS, dtype=pl.List(pl.Decimal(10, 2))),
    "tags": pl.Series(["a|1", "b", "", None]),
    "names": pl.Series([["a", "b"], ["b", "c"], ["d", "e"], None], dtype=pl.Array(pl.String, 2)),
}


@pytest.fixture
def items(tmp_path: Path) -> Items:
    frame = pl.DataFrame({"id": [f"i{row}" for row in range(ROWS)]} | {name: column.alias(name) for name, column in COLUMNS.items()})
    frame.write_parquet(tmp_path / "items.parquet")
    featurizer = SimpleNamespace(items=[Multi(name="tags", vocabulary=("a", "1", "b"))])
    bundle = SimpleNamespace(manifest=SimpleNamespace(num_items=ROWS), folder=tmp_path, featurizer=featurizer, items=frame.select)
    ids = frame["id"].to_list()
    retriever: Any = SimpleNamespace(bundle=bundle, ids=ids, row_of={each: row for row, each in enumerate(ids)})
    return Items(retriever)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"day": "2026-01-31"}, [0]),
        ({"day": ["2026-01-31", "1999-12-31"]}, [0, 2]),
        ({"day": {"gte": "2026-01-31"}}, [0, 1]),
        ({"moment": ["2026-01-31T12:00:00", "2026-07-01"]}, [0, 1]),
        ({"zoned": "2026-01-31T11:00:00Z"}, [0]),
        ({"zoned": ["2026-01-31T11:00:00", "2026-07-01T00:00:00+02:00"]}, [0, 1]),
        ({"zoned": {"lt": "2026-06-30T22:00:00"}}, [0]),
        ({"zoned": {"lte": "2026-06-30T22:00:00"}}, [0, 1]),
        ({"hour": "12:00:00"}, [0]),
        ({"hour": ["00:30", "23:59"]}, [1, 2]),
        ({"hour": {"lt": "12:00"}}, [1]),
        ({"length": [7200, 1.5]}, [0, 1]),
        ({"length": {"lt": 2}}, [1, 2]),
        ({"price": {"gte": 1.6}}, [1]),
        ({"price": {"not": 2}}, [0, 2, 3]),
        ({"price": None}, [2, 3]),
        ({"exact_price": [2, 0.1]}, [1, 2]),
        ({"prices": 2}, [1]),
        ({"prices": [1.5, 3]}, [0, 1]),
        ({"pair": 2}, [0, 1]),
        ({"pair": [1, 5, None]}, [0, 2, 3]),
        ({"names": {"not": "b"}}, [2, 3]),
    ],
    ids=str,
)
def test_a_filter_holds_alike_for_rows_of_the_bundle_and_for_rows_written_later(
    items: Items, rule: dict[str, Any], expected: list[int]
) -> None:
    masks = Masks(items)
    assert masks.rows(rule, ROWS).nonzero()[0].tolist() == expected
    kept = [items.row({"id": f"n{row}"} | {name: jsonable(column[row]) for name, column in COLUMNS.items()}) for row in range(ROWS)]
    items.add([json.loads(json.dumps(row)) for row in kept])
    assert masks.rows(rule, 2 * ROWS).nonzero()[0].tolist() == [*expected, *(row + ROWS for row in expected)]


@pytest.mark.parametrize(
    "rule",
    [
        {"hour": "2026-01-31T12:00:00"},
        {"day": "12:00:00"},
        {"length": "1:00:00"},
        {"length": True},
        {"length": 1e300},
        {"zoned": "9999-12-31T23:59:59"},
    ],
    ids=str,
)
def test_what_is_no_value_of_a_column_is_refused(items: Items, rule: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"filter.{next(iter(rule))}"):
        Masks(items).rows(rule, ROWS)


def test_what_cannot_be_compared_is_refused_by_itself(items: Items) -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        Masks(items).rows({"exact_prices": 1.5}, ROWS)


def test_values_come_back_as_they_were_written(items: Items) -> None:
    """Each value by way of the log; what another version's column held is missing."""
    given = {name: jsonable(column[0]) for name, column in COLUMNS.items()}
    items.add([json.loads(json.dumps(items.row({"id": "new", **given}))), {"id": "odd", **dict.fromkeys(COLUMNS, "in spring")}])
    for name, column in COLUMNS.items():
        back = items.added(name, 0, 1)
        assert back.dtype == column.dtype
        assert back.to_list() == column.head(1).to_list()
    assert [items.added(name, 1, 2).to_list() for name in ("day", "moment", "zoned", "hour", "length")] == [[None]] * 5
    items.add([items.row({"id": "other", "zoned": "2026-01-31T12:00:00+05:00"}), items.row({"id": "third", "zoned": "2026-01-31"})])
    assert items.added("zoned", 2, 4).to_list() == [datetime(2026, 1, 31, 7, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)]


def test_a_list_becomes_the_text_that_the_column_holds(items: Items) -> None:
    """A missing value in it is none, and a whole number is written without a fraction."""
    assert items.row({"id": "new", "tags": ["a", None, 1.0, 2.5]})["tags"] == "a|1|2.5"
    items.add([items.row({"id": "new", "tags": ["a", None]})])
    assert Masks(items).rows({"tags": ["a", "None"]}, ROWS + 1).nonzero()[0].tolist() == [0, ROWS]
    assert not Masks(items).rows({"tags": "None"}, ROWS + 1).any()
