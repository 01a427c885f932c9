"""Times of events as whole numbers: microseconds since 1970 UTC, or numbers that only order the events."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from tt_hydra.data.declaration import SplitSpec
from tt_hydra.data.tables import TimeUnit
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

GivenUnit = Literal["auto", "s", "ms", "us", "ns", "step"]

SCALES = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
LARGEST = {"step": 1e8, "s": 1e11, "ms": 1e14, "us": 1e17}
"""``auto``: a column whose largest number is below this is taken in that unit. 1e8 s is March 1973, 1e11 s is the year 5138."""
ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$"


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times.

    Attributes:
        values: Int64, null where missing.
        unit: what they count.
        source: unit of the numbers in the file, or ``date`` for dates and date texts.
    """

    values: pl.Series
    unit: TimeUnit
    source: str

    def moment(self, value: str | int | None, where: str) -> int | None:
        """A moment given in the config, in the unit of ``values``.

        Raises:
            DataError: a date where the column holds bare numbers, or a number where it holds dates.
        """
        if value is None:
            return None
        number = _number(value)
        if number is None:
            if self.unit != "us":
                raise DataError(f"{where}={value!r} is a date, but the time column holds bare numbers: give a number in the same unit")
            return int(_from_text(pl.Series([str(value)]), where)[0])
        if self.source == "date":
            raise DataError(f"{where}={value!r} is a number, but the time column holds dates: give a date such as '2024-06-01'")
        return round(number * SCALES.get(self.source, 1.0))

    def resolve(self, split: SplitSpec) -> SplitSpec:
        """The split with its moments in the unit of ``values``."""
        names = ("learn_from", "valid_from", "test_from")
        learn, valid, test = (self.moment(getattr(split, name), f"split.{name}") for name in names)
        return replace(split, learn_from=learn, valid_from=valid, test_from=test)


def read_times(column: pl.Series, unit: GivenUnit, where: str) -> Times:
    """A column as times.

    Args:
        column: datetimes (without a zone: UTC), dates, numbers, or texts that are ISO 8601 or numbers.
        unit: of numbers; ``auto`` takes it from their size and says so in the log.
        where: file and column, for messages.

    Raises:
        DataError: another type, or a value that is no time, with its row.
    """
    if column.dtype.is_temporal():
        return Times(_from_dates(column, where), "us", "date")
    if column.dtype == pl.String:
        column = column.set(column.str.strip_chars() == "", None)
        numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() > column.null_count():
            return Times(_from_text(column, where), "us", "date")
        whole = column.cast(pl.Int64, strict=False)
        column = numbers if whole.null_count() > column.null_count() else whole
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if not column.dtype.is_numeric():
        raise DataError(f"{where} is no time: it holds {column.dtype}; allowed are dates, ISO 8601 texts and numbers")
    taken = _guess(column, where) if unit == "auto" else unit
    if taken == "step":
        _require_whole(column, where)
    values = column if taken == "step" else column * SCALES[taken] if column.dtype.is_float() else _scaled(column, taken)
    return Times(values.cast(pl.Int64, strict=False), "step" if taken == "step" else "us", taken)


def _require_whole(column: pl.Series, where: str) -> None:
    """Raises DataError for a step that is a fraction: cut to whole numbers, several moments would become one."""
    broken = (column != column.floor()) & column.is_finite() if column.dtype.is_float() else pl.Series([False])
    if broken.any():
        row = broken.arg_max() or 0
        raise DataError(
            f"{where}: {column[row]} in row {row + 1} is no whole number, and numbers that only order are; multiply them, or say what "
            "they count with data.interactions.time_unit=s, ms, us or ns"
        )


def _scaled(column: pl.Series, unit: str) -> pl.Series:
    whole = column.cast(pl.Int64)
    return whole // 1_000 if unit == "ns" else whole * int(SCALES[unit])


def _guess(column: pl.Series, where: str) -> str:
    numbers = column.cast(pl.Float64)
    largest = numbers.filter(numbers.is_finite()).abs().max()
    size = float(largest) if isinstance(largest, (int, float)) else 0.0
    unit = next((unit for unit, below in LARGEST.items() if size < below), "ns")
    meaning = "plain order, without hours or days" if unit == "step" else f"{unit} since 1970"
    log.info("%s: numbers up to %.12g are taken as %s; data.interactions.time_unit says otherwise", where, size, meaning)
    return unit


def _from_dates(column: pl.Series, where: str) -> pl.Series:
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).cast(pl.Int64)
    if isinstance(column.dtype, pl.Datetime):
        return column.cast(pl.Datetime("us", column.dtype.time_zone)).cast(pl.Int64)
    raise DataError(f"{where} holds {column.dtype}, which is no moment: allowed are dates, ISO 8601 texts and numbers")


def _from_text(column: pl.Series, where: str) -> pl.Series:
    text = pl.col("text").str.strip_chars()
    parts = pl.DataFrame({"text": column.cast(pl.String)}).with_columns(
        good=text.str.contains(ISO),
        day=text.str.slice(0, 10),
        clock=text.str.extract(r"[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)").fill_null("00:00"),
        zone=text.str.extract(r"\d\s*(Z|[+-]\d{2}:?\d{2})$").fill_null("+00:00").str.replace("Z", "+00:00", literal=True),
    )
    clock = pl.when(pl.col("clock").str.len_chars() == 5).then(pl.col("clock") + ":00").otherwise(pl.col("clock"))
    moment = (pl.col("day") + "T" + clock + pl.col("zone")).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    values = parts.select(pl.when("good").then(moment.cast(pl.Int64)).alias("time"))["time"]
    bad = values.is_null() & column.is_not_null()
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{where}: {column[row]!r} in row {row + 1} is no time; write ISO 8601 such as 2024-06-01T12:30:00Z, or numbers")
    return values


def _number(value: str | int) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
