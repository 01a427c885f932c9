"""A column, looked at: its type, how many values it has and how many differ, whether its texts are numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from tt_hydra.data.columns import MISSING_NUMBERS
from tt_hydra.data.encoders import as_strings

SAMPLE = 20_000
"""Rows from which words and characters are counted."""
PADDED = r"^[+-]?0\d+$"
"""A number with leading zeros is a code."""

Shape = Literal["number", "text", "bool", "date", "list", "other"]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """What is known of a column.

    Attributes:
        series: the values as the file holds them.
        shape: what kind of values they are; texts that are all numbers are numbers.
        known: rows that have a value.
        distinct: number of different values, missing ones left out; 0 of lists and structures.
        numbers: the values as Float64 where they are numbers, missing ones left out.
    """

    series: pl.Series
    shape: Shape
    known: int
    distinct: int
    numbers: pl.Series | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        return self.series.name

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.series)

    @property
    def different(self) -> float:
        """Share of the known values that are counted as distinct."""
        return self.distinct / max(1, self.known)

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.numbers is not None and bool((self.numbers == self.numbers.floor()).all())

    @property
    def can_be_id(self) -> bool:
        """Whether its values could name something."""
        return self.distinct > 0 and (self.shape == "text" or (self.shape == "number" and self.whole))

    def sample(self) -> pl.Series:
        """Some thousand known values as strings, from all over the column."""
        return strings(self.series).drop_nulls().gather_every(max(1, self.known // SAMPLE))

    def words(self) -> float:
        """Words of a value, on average."""
        return mean(self.sample().str.count_matches(r"\S+"))

    def characters(self) -> float:
        """Characters of a value, on average."""
        return mean(self.sample().str.len_chars())

    def share_matching(self, pattern: str) -> float:
        """Share of the known values that fit a regular expression."""
        return mean(self.sample().str.contains(pattern))


def look(series: pl.Series) -> Column:
    """Looks at a column."""
    kind = series.dtype
    if isinstance(kind, (pl.List, pl.Array)):
        return Column(series, "list", int((series.list.len().fill_null(0) > 0).sum()) if isinstance(kind, pl.List) else series.count(), 0)
    if kind.is_nested() or kind in (pl.Binary, pl.Object, pl.Duration):
        return Column(series, "other", series.count(), 0)
    values = strings(series)
    known, distinct = values.count(), values.drop_nulls().n_unique()
    if kind == pl.Boolean:
        return Column(series, "bool", known, distinct)
    if kind.is_temporal():
        return Column(series, "date" if kind == pl.Date or isinstance(kind, pl.Datetime) else "other", known, distinct)
    numbers = _numbers(series)
    return Column(series, "text" if numbers is None else "number", known, distinct, numbers)


def strings(series: pl.Series) -> pl.Series:
    """The values as ids and categories are read; null where there is none."""
    return as_strings(series)


def share(value: float) -> str:
    """A share in percent: 0.998 is ``99.8%``; what is not all or nothing never looks so."""
    for digits in (0, 1, 2):
        text = f"{100 * value:.{digits}f}"
        if value in (0.0, 1.0) or (digits and float(text) not in (0.0, 100.0)) or 0.02 < value < 0.98:
            return f"{text}%"
    return "over 99.99%" if value > 0.5 else "under 0.01%"


def _numbers(series: pl.Series) -> pl.Series | None:
    if series.dtype.is_numeric():
        return series.cast(pl.Float64).fill_nan(None).drop_nulls()
    if series.dtype == pl.Null:
        return None
    texts = series.cast(pl.String).str.strip_chars().drop_nulls()
    texts = texts.filter(~texts.str.to_lowercase().is_in(list(MISSING_NUMBERS)))
    numbers = texts.cast(pl.Float64, strict=False)
    if not len(texts) or numbers.null_count() or texts.str.contains(PADDED).any():
        return None
    return numbers


def mean(series: pl.Series) -> float:
    """The mean; 0 of nothing."""
    found = series.cast(pl.Float64).mean()
    return float(found) if isinstance(found, (int, float)) else 0.0


def extremes(numbers: pl.Series) -> tuple[float, float]:
    """Smallest and largest; 0 of nothing."""
    low, high = numbers.min(), numbers.max()
    return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else (0.0, 0.0)
