"""Columns by what they mean: ids, feature columns, weights and parts, in the types that ``Tables`` promises."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import polars as pl

from tt_hydra.data.declaration import FeatureSpec
from tt_hydra.data.times import read_times
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

PART_NAMES = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing"),
}
PARTS = {alias: part for part, aliases in PART_NAMES.items() for alias in aliases}
MISSING_NUMBERS = ("", "na", "n/a", "nan", "null", "none")
"""Texts in a numeric column, in small letters, that mean a missing value."""


def as_text(column: pl.Series, where: str) -> pl.Series:
    """A column of ids, categories or texts as strings; whole numbers that a file holds as floats are written without ``.0``.

    Raises:
        DataError: the column holds lists, structures, bytes or lengths of time.
    """
    if column.dtype.is_float():
        return column.to_frame("value").select(_written(pl.col("value"))).to_series().rename(column.name)
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object, pl.Duration):
        raise DataError(f"{where} holds {column.dtype}: ids, categories and texts are strings or numbers")
    return column.cast(pl.String)


def _written(number: pl.Expr) -> pl.Expr:
    """Floats as strings, each by itself: what is asked later knows nothing of the other values of its column."""
    known = number.fill_nan(None)
    whole = known.cast(pl.Int64, strict=False)
    exact = whole.cast(pl.Float64) == known.cast(pl.Float64)
    return pl.when(exact).then(whole.cast(pl.String)).otherwise(known.cast(pl.String))


def as_ids(column: pl.Series, where: str) -> pl.Series:
    """A column of ids as strings; an empty one is missing (null)."""
    ids = as_text(column, where)
    return ids.set(ids == "", None)


def as_numbers(column: pl.Series, where: str) -> pl.Series:
    """A numeric column as Float64; NaN and the usual texts for a missing value become null.

    Raises:
        DataError: a value is no number (with its row) or the column is of another type.
    """
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype != pl.String:
        raise DataError(f"{where} is declared numeric but holds {column.dtype}")
    text = column.str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & ~text.str.to_lowercase().is_in(list(MISSING_NUMBERS)).fill_null(True)
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{where} is declared numeric but holds {column[row]!r} in row {row + 1}; declare it categorical or mend the file")
    return numbers.fill_nan(None)


def as_feature(column: pl.Series, spec: FeatureSpec, where: str) -> pl.Series:
    """A feature column in the type of its kind (see ``Tables``).

    Raises:
        DataError: its values do not fit the declared kind.
    """
    match spec.kind:
        case "numeric":
            return as_numbers(column, where)
        case "time":
            return _moments(column, where)
        case "text":
            return as_text(column, where).fill_null("")
        case "multi" if isinstance(column.dtype, (pl.List, pl.Array)):
            return listed(column)
        case _:
            return as_text(column, where)


def _moments(column: pl.Series, where: str) -> pl.Series:
    times = read_times(column.cast(pl.Int64) if column.dtype == pl.Null else column, "auto", where)
    if times.unit != "us" and not times.values.is_null().all():
        raise DataError(f"{where} is declared as a time, but its numbers are too small for seconds since 1970; declare it numeric")
    return times.values


def with_features(frame: pl.DataFrame, features: Mapping[str, FeatureSpec], name: str) -> pl.DataFrame:
    """The frame with its feature columns typed by their kinds; ``name`` is what messages call its file."""
    typed = [as_feature(frame[column], spec, f"{name}, column {column!r}").alias(column) for column, spec in features.items()]
    return frame.with_columns(typed)


def as_weights(column: pl.Series, where: str) -> pl.Series:
    """A column of weights as Float32; a missing one is 1.

    Raises:
        DataError: a weight is no number, negative or infinite.
    """
    weights = as_numbers(column, where).fill_null(1.0)
    bad = ~(weights.is_finite() & (weights >= 0))
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{where}: the weight in row {row + 1} is {weights[row]}; a weight is a number, at least 0")
    return weights.cast(pl.Float32)


def as_labels(column: pl.Series, where: str) -> pl.Series:
    """A column of labels as Float64; what is missing or infinite is null.

    Raises:
        DataError: a value is no number.
    """
    labels = as_numbers(column, where)
    return labels.set(labels.is_infinite(), None)


def as_scores(column: pl.Series, where: str) -> pl.Series:
    """A column of scores as Float32; what is missing or infinite is null.

    Raises:
        DataError: a value is no number.
    """
    return as_labels(column, where).cast(pl.Float32)


def as_lists(column: pl.Series, where: str, sep: str) -> pl.Series:
    """A column of lists of ids, or of ids in one cell, as List[String] without empty ones; a missing list is empty.

    Raises:
        DataError: the lists hold structures or bytes.
    """
    if isinstance(column.dtype, (pl.List, pl.Array)):
        inner = column.dtype.inner
        if inner.is_nested() or inner in (pl.Binary, pl.Object):
            raise DataError(f"{where} holds lists of {inner}: ids are strings or numbers")
        lists = listed(column)
    else:
        lists = as_text(column, where).str.split(sep)
    return lists.list.eval(pl.element().str.strip_chars()).list.eval(pl.element().filter(pl.element() != "")).fill_null([])


def listed(column: pl.Series) -> pl.Series:
    """A column of lists as lists of strings, whole numbers written alike as int, float or text."""
    assert isinstance(column.dtype, (pl.List, pl.Array))
    inner = column.dtype.inner
    return column.cast(pl.List(inner)).list.eval(_written(pl.element())) if inner.is_float() else column.cast(pl.List(pl.String))


def as_parts(column: pl.Series, where: str) -> pl.Series:
    """A column that names the part of each row as ``train``, ``valid`` or ``test``.

    Raises:
        DataError: a value names none of the parts.
    """
    names = as_text(column, where).str.strip_chars().str.to_lowercase()
    known = names.is_in(list(PARTS)).fill_null(False)
    if not known.all():
        row = (~known).arg_max() or 0
        raise DataError(f"{where}: {column[row]!r} in row {row + 1} names no part; allowed are {', '.join(PARTS)}")
    return names.replace_strict(PARTS, return_dtype=pl.String)


def check_unique_ids(ids: pl.Series, where: str) -> None:
    """Raises DataError if an id of the table is missing or occurs twice, with the id and its rows."""
    if ids.null_count():
        rows = ids.is_null().arg_true()
        raise DataError(f"{where}: {len(rows)} row(s) have no id, the first is row {rows[0] + 1}")
    repeated = ids.is_duplicated()
    if repeated.any():
        first = ids.filter(repeated)[0]
        rows = (ids == first).arg_true() + 1
        more = ids.filter(repeated).n_unique() - 1
        others = f", and {more} other id(s) occur more than once" if more else ""
        raise DataError(f"{where}: id {first!r} is in rows {rows[0]} and {rows[1]}{others}; each id must occur once")
