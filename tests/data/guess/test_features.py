from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from tt_hydra.data.guess.column import look
from tt_hydra.data.guess.features import Feature, Left, feature

ROWS = 60


def of(name, values, totals=False):
    return feature(look(pl.Series(name, values)), totals)


def cycle(*values):
    return [values[row % len(values)] for row in range(ROWS)]


def numbered(text):
    return [text.format(row) for row in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("brand", cycle("a", "b", None), "categorical"),
        ("in_stock", cycle(True, False), "categorical"),
        ("manufacturer_id", cycle(7, 9, 11), "categorical"),
        ("zip", cycle(10115, 20095, 80331), "categorical"),
        ("level", cycle(1, 2, 3), "categorical"),
        ("household_size", cycle(1, 2, 3), "numeric"),
        ("price", [row * 1.5 for row in range(ROWS)], "numeric"),
        ("year", [1950 + row for row in range(ROWS)][::-1], "numeric"),
        ("title", numbered("film number {}"), "text"),
        ("name", numbered("tool{}"), "text"),
        ("overview", cycle(*[f"a much longer text that says what this is about {n}" for n in range(10)]), "text"),
        ("author", [f"Ann Other {row % 40}" for row in range(ROWS)], "categorical"),
        ("tags", [["a", "b"][: row % 3] for row in range(ROWS)], "multi"),
        ("genres", cycle("a|b", "b", "c|a|b", ""), "multi"),
        ("topics", cycle("a, b", "b, c", "c"), "multi"),
        ("hashed", cycle("9f86d081884c7d659a2f", "60303ae22b998861bce3"), "categorical"),
    ],
)
def test_kinds(name, values, kind):
    found = of(name, values)
    assert isinstance(found, Feature), found
    assert found.kind == kind


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("nothing", [None] * ROWS, "no row has a value"),
        ("same", ["x"] * ROWS, "the same value in every row"),
        ("org_id", [row * 7 for row in range(ROWS)], "names its rows"),
        ("row", list(range(ROWS)), "names its rows"),
        ("sku", numbered("a-{}-x"), "names its rows"),
        ("asin_code", numbered("b{}"), "ids"),
        ("image", numbered("https://example.org/{}.jpg"), "addresses"),
        ("mail", numbered("p{}@example.org"), "mail addresses"),
        ("checksum", numbered("9f86d081884c7d659a2f{:04d}"), "hashes"),
        ("surname", [f"s{row % 45}" for row in range(ROWS)], "most of its values are there once"),
        ("released", ["2020-01-01", "2021-01-01"] * (ROWS // 2), "a time"),
        ("vector", [[0.1, 0.2]] * ROWS, "lists of numbers"),
        ("parts", [[str(row), f"x{row}"] for row in range(ROWS)], "hardly repeat"),
        ("tags", cycle('["a", "b"]', '["c"]', "[]"), "JSON or the like in 100% of the cells: write lists as a|b, or as lists in Parquet"),
        ("tags", cycle("['a', 'b']", "['b']", "['c', 'a']", "none"), "JSON or the like in 75% of the cells"),
        ("codes", cycle("[1, 2]", " [2]\n"), "write lists as a|b"),
        ("props", cycle('{"a": 1,\n "b": 2}', '{"a": 2}'), "JSON or the like"),
        ("nested", [{"a": 1}] * ROWS, "which is no feature: make columns of its parts"),
        ("watched", [timedelta(seconds=row) for row in range(ROWS)], "which is no feature: make numbers of it"),
        ("pauses", [[timedelta(seconds=row)] for row in range(ROWS)], "which is no feature"),
    ],
)
def test_what_is_left_out(name, values, why):
    found = of(name, values)
    assert isinstance(found, Left), found
    assert why in found.why


def test_totals_of_items_know_the_future():
    left = of("num_ratings", list(range(1, 2 * ROWS, 2)), totals=True)
    assert isinstance(left, Left)
    assert left.instead == "numeric"
    assert isinstance(of("num_ratings", list(range(1, 2 * ROWS, 2))), Feature)
    assert isinstance(of("sold", cycle(True, False), totals=True), Left)


@pytest.mark.parametrize(("values", "sep"), [(cycle("a|b", "c"), "|"), (cycle("a; b", "b"), ";"), (cycle("a,b", "b"), ",")])
def test_separators(values, sep):
    found = of("tags", values)
    assert isinstance(found, Feature)
    assert found.sep == sep


def test_a_comma_in_titles_separates_nothing():
    assert of("title", numbered("Film {}, The")).kind == "text"
    assert of("place", cycle("Paris, the capital of all the French", "Berlin, the capital of all the Germans")).sep is None


def test_brackets_around_some_cells_or_parts_of_them_are_texts():
    assert of("tags", cycle("[new]", "old|used", "used")).sep == "|"
    assert of("title", numbered("[restored] film number {}")).kind == "text"


def test_skewed_numbers_are_scaled_by_their_logarithm():
    assert of("price", [1.5] * (ROWS - 1) + [10_000.0]).normalize == "log"
    assert of("price", [1.5] * (ROWS - 1) + [2.0]).normalize is None


def test_evidence_holds_counts_and_no_texts():
    found = of("title", numbered("secret {}"))
    assert isinstance(found, Feature)
    assert "60 distinct values" in found.why
    assert "secret" not in found.why
    assert "missing in 50%" in of("brand", cycle("a", None, "b", None)).why
