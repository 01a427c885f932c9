from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Kind
from tt_hydra.data import encoders
from tt_hydra.data.declaration import FeatureSpec
from tt_hydra.data.encoders import Multi, as_strings, fit_encoder
from tt_hydra.errors import DataError


def test_categorical_codes_known_values_from_two_most_frequent_first():
    encoder = fit_encoder("device", FeatureSpec(kind="categorical"), pl.Series(["pc", "tv", "tv", None, ""]))
    assert encoder.features[0].size == 4
    assert encoder.encode(pl.Series(["tv", "pc", "fridge", None, ""]))["device"].tolist() == [2, 3, 1, 1, 1]
    assert encoder.missing(pl.Series(["tv", None, ""])) == 2


def test_categorical_min_count_makes_rare_values_unknown():
    encoder = fit_encoder("x", FeatureSpec(kind="categorical", min_count=2), pl.Series(["a", "a", "b"]))
    assert encoder.encode(pl.Series(["a", "b"]))["x"].tolist() == [2, 1]


def test_categorical_is_the_same_in_small_and_large_columns(monkeypatch):
    values = pl.Series(["ü", "東京", "a b", None, "other"])
    encoder = fit_encoder("x", FeatureSpec(kind="categorical"), values[:3])
    small = encoder.encode(values)["x"]
    monkeypatch.setattr(encoders, "DICT_LOOKUP", 0)
    np.testing.assert_array_equal(encoder.encode(values)["x"], small)


@pytest.mark.parametrize("column", [[7, 25, None], [7.0, 25.0, None], [7.0, 25.0, math.nan], ["7", "25", ""]])
def test_a_number_is_one_category_however_its_column_is_typed(column):
    assert as_strings(pl.Series(column)).to_list() == ["7", "25", None]


def test_fractions_and_booleans_are_categories():
    assert as_strings(pl.Series([0.5, -2.0])).to_list() == ["0.5", "-2"]
    assert as_strings(pl.Series([True, False])).to_list() == ["true", "false"]


@pytest.mark.parametrize(
    "column",
    [
        ["x|y", " y |y", None, "", "new"],
        [["x", "y"], ["y", None, " y"], None, [], ["new"]],
    ],
)
def test_multi_takes_strings_and_lists(column):
    encoder = fit_encoder("g", FeatureSpec(kind="multi"), pl.Series(["y|x", "y"]))
    encoded = encoder.encode(pl.Series(column))["g"]
    assert [encoded.row(row).tolist() for row in range(5)] == [[3, 2], [2], [], [], [1]]
    assert encoder.missing(pl.Series(column)) == 2
    assert encoder.features[0].kind is Kind.MULTI


def test_multi_of_nothing():
    encoder = Multi(name="g")
    assert len(encoder.encode(pl.Series([None, None]))["g"].values) == 0
    assert len(encoder.encode(pl.Series([], dtype=pl.String))["g"]) == 0


def test_numeric_is_normalised_with_what_it_was_fitted_on():
    encoder = fit_encoder("n", FeatureSpec(kind="numeric"), pl.Series([1.0, 3.0, None]))
    encoded = encoder.encode(pl.Series([5.0, None, math.inf, math.nan]))["n"]
    assert encoded.tolist() == [[3, 0], [0, 1], [0, 1], [0, 1]]


def test_numeric_log_is_symmetric_and_none_leaves_the_number():
    log = fit_encoder("n", FeatureSpec(kind="numeric", normalize="log"), pl.Series([0.0, math.e - 1, math.e**2 - 1]))
    assert log.mean == pytest.approx(1)
    assert log.encode(pl.Series([1 - math.e]))["n"][0, 0] == pytest.approx((-1 - 1) / math.sqrt(2 / 3))
    plain = fit_encoder("n", FeatureSpec(kind="numeric", normalize="none"), pl.Series([5.0, 9.0]))
    assert plain.encode(pl.Series([7.5]))["n"].tolist() == [[7.5, 0]]


@pytest.mark.parametrize("column", [[4.0, 4.0], [None], []])
def test_numeric_of_a_constant_or_of_nothing_stays_finite(column):
    encoder = fit_encoder("n", FeatureSpec(kind="numeric"), pl.Series(column, dtype=pl.Float64))
    assert np.isfinite(encoder.encode(pl.Series([4.0, 8.0, None]))["n"]).all()


def test_numeric_reads_numbers_written_as_text():
    encoder = fit_encoder("n", FeatureSpec(kind="numeric", normalize="none"), pl.Series(["1", "x"]))
    assert encoder.encode(pl.Series(["2.5", "x", ""]))["n"].tolist() == [[2.5, 0], [0, 1], [0, 1]]


def test_buckets_hold_equal_shares_and_none_is_empty():
    encoder = fit_encoder("n", FeatureSpec(kind="numeric", bins=4), pl.Series(range(8)))
    assert np.bincount(encoder.encode(pl.Series(range(8)))["n"]).tolist() == [0, 0, 2, 2, 2, 2]
    assert encoder.encode(pl.Series([-100, 100, None]))["n"].tolist() == [2, 5, 1]
    skewed = fit_encoder("n", FeatureSpec(kind="numeric", bins=4), pl.Series([0] * 6 + [1] * 4))
    assert skewed.encode(pl.Series([-1, 0, 1, 2]))["n"].tolist() == [2, 2, 3, 3]
    assert skewed.features[0].size == 4


def test_time_gives_hour_and_weekday():
    encoder = fit_encoder("t", FeatureSpec(kind="time"), pl.Series([], dtype=pl.Int64))
    monday_five = pl.Series(["2024-01-01T05:59:00"]).str.to_datetime()
    for column in (monday_five, monday_five.dt.epoch("us"), pl.Series(["2024-01-01T05:59:00"]), monday_five.cast(pl.Datetime("ms"))):
        encoded = encoder.encode(column)
        assert (encoded["t.hour"].tolist(), encoded["t.weekday"].tolist()) == ([2 + 5], [2 + 0])
    before_1970 = encoder.encode(pl.Series([-1, None]))
    assert (before_1970["t.hour"].tolist(), before_1970["t.weekday"].tolist()) == ([2 + 23, 1], [2 + 2, 1])
    assert [feature.size for feature in encoder.features] == [26, 9]


def test_time_refuses_a_column_that_is_no_time():
    with pytest.raises(DataError, match="'t' is declared as time"):
        fit_encoder("t", FeatureSpec(kind="time"), pl.Series([[1]])).encode(pl.Series([[1]]))


def test_text_is_kept_and_blank_ones_are_counted():
    encoder = fit_encoder("t", FeatureSpec(kind="text"), pl.Series([], dtype=pl.String))
    column = pl.Series(["émigré", None, " "])
    assert encoder.texts(column).to_list() == ["émigré", "", " "]
    assert encoder.missing(column) == 2
