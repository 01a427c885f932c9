"""A few values without a data frame are encoded as a column of them is."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Ragged
from tt_hydra.data.encoders import Bucketed, Categorical, Encoder, Multi, Numeric, Text, Time
from tt_hydra.data.plain import columns_of, plain
from tt_hydra.errors import DataError

CASES: list[tuple[Encoder, list[object]]] = [
    (Categorical(name="x", vocabulary=("a", "1", "1.5", "true", "")), ["a", None, "", "new"]),
    (Categorical(name="x", vocabulary=("a", "1", "1.5", "2")), [1, 2, None, 3]),
    (Categorical(name="x", vocabulary=("1", "1.5", "1e-7", "0.0000001")), [1.0, 1.5, float("nan"), 1e-7, 1e300]),
    (Categorical(name="x", vocabulary=("true", "false")), [True, False, None]),
    (Multi(name="x", vocabulary=("a", "b", "c")), ["a|b", " a |a||c", "", None, "|"]),
    (Multi(name="x", vocabulary=("a", "b", "1")), [["a", None, "a", " b "], [], None, ["", "z"]]),
    (Multi(name="x", vocabulary=("1", "2")), [[1, 2, 1], [], None]),
    (Numeric(name="x", mean=2.0, std=0.5), [1, 2.5, None, float("nan")]),
    (Numeric(name="x", normalize="log", mean=1.0, std=3.0), ["10", "-3.5", None, ""]),
    (Bucketed(name="x", edges=(1.0, 2.0)), [0.5, 1, 1.5, 2, 9, None]),
    (Time(name="x"), [1_700_000_000_000_000, 0, -1, None]),
    (Time(name="x"), ["2026-01-31T23:30:00", "1969-12-31", None]),
    (Time(name="x"), [datetime(2026, 1, 31, 23, 30), None]),
    (Time(name="x"), [date(2026, 1, 31), None]),
]


@pytest.mark.parametrize(("encoder", "values"), CASES)
def test_plain_values_are_encoded_as_a_column_is(encoder: Encoder, values: list[object]) -> None:
    assert not isinstance(encoder, Text)
    expected = encoder.encode(pl.Series("x", values, strict=False))
    found = columns_of(encoder, [plain(encoder, value) for value in values], None)
    assert found.keys() == expected.keys()
    for name, column in expected.items():
        other = found[name]
        if isinstance(column, Ragged):
            assert isinstance(other, Ragged)
            np.testing.assert_array_equal(other.offsets, column.offsets)
            np.testing.assert_array_equal(other.values, column.values)
        else:
            np.testing.assert_array_equal(other, column)


def test_texts_are_tokenised_as_a_column_is() -> None:
    encoder, values = Text(name="x"), ["a text", "", None, 3, 2.5, True]
    asked: list[list[str]] = []

    def tokenizer(texts: list[str]) -> Ragged:
        asked.append(list(texts))
        return Ragged(np.zeros(0, np.int32), np.zeros(len(texts) + 1, np.int64))

    columns_of(encoder, [plain(encoder, value) for value in values], tokenizer)
    assert asked == [["a text", "", "", "3", "2.5", "true"]]


@pytest.mark.parametrize(
    ("encoder", "value", "message"),
    [
        (Numeric(name="age"), "old", "'age' is a number"),
        (Numeric(name="age"), [1], "one value"),
        (Numeric(name="age"), float("inf"), "finite"),
        (Numeric(name="age"), 10**400, "number"),
        (Categorical(name="job"), ["a"], "one value"),
        (Categorical(name="job"), {"a": 1}, "one value"),
        (Multi(name="tags"), {"a": 1}, "list of values"),
        (Multi(name="tags"), [["a"]], "list of values"),
        (Time(name="at"), "yesterday", "ISO date"),
        (Time(name="at"), 2**70, "microseconds"),
        (Text(name="q"), ["a"], "one value"),
    ],
)
def test_what_no_value_can_be_made_of_is_refused(encoder: Encoder, value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plain(encoder, value)
