"""The time of the interactions: by type, by name and by the size of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from tt_hydra.data.guess.column import Column, extremes
from tt_hydra.data.guess.names import words
from tt_hydra.data.times import SCALES, GivenUnit, read_times
from tt_hydra.errors import DataError

MOMENT = frozenset(["timestamp", "datetime", "time", "date", "ts", "at", "created", "when", "epoch", "unix", "occurred"])
STEP = frozenset(["timestamp", "time", "step", "day", "week", "seq", "sequence", "order", "tick", "t"])
LONGEST_MONTH = 31
"""Numbers called ``day`` up to here may be the day of a month."""
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)
"""Numbers that name moments between them are taken as such."""
FOREIGN = r"^\s*(\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|[A-Z][a-z]{2,8} \d{1,2},? \d{4})"
"""Dates that are not ISO 8601."""
MOST = 0.9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A column of times.

    Attributes:
        column: where it was found.
        unit: as ``data.interactions.time_unit``; ``auto`` of dates.
        values: microseconds since 1970 or steps, in the order of the rows.
        named: whether its name says that it is a time.
    """

    column: Column
    unit: GivenUnit
    values: pl.Series
    named: bool

    @property
    def dated(self) -> bool:
        """Whether it says a date, and not only an order."""
        return self.unit != "step"

    @property
    def why(self) -> str:
        """What was seen."""
        kind = "dates" if self.unit == "auto" else "numbers that only order" if self.unit == "step" else f"{self.unit} since 1970"
        if not self.dated:
            return f"{kind}, {self.column.distinct:,} distinct"
        first, last = (told(extreme(self.values, latest), day=True) for latest in (False, True))
        return f"{kind}, from {first} to {last}"


def find(columns: Sequence[Column]) -> list[Moment]:
    """The columns that are times, the best first: dates before steps, then by name, then by how many differ."""
    found = [moment for column in columns if (moment := _moment(column)) is not None]
    return sorted(found, key=lambda moment: (moment.dated, moment.named, moment.column.distinct), reverse=True)


def told(value: int, day: bool = False) -> str:
    """Microseconds since 1970 as an ISO date, or as date and time of day."""
    moment = _EPOCH + timedelta(microseconds=value)
    return moment.strftime("%Y-%m-%d") if day else moment.isoformat(timespec="microseconds" if value % 1_000_000 else "seconds")


def extreme(values: pl.Series, latest: bool) -> int:
    """The first or last of some times; 0 of none."""
    found = values.max() if latest else values.min()
    return found if isinstance(found, int) else 0


def looks_like_dates(column: Column) -> bool:
    """Whether texts are dates in a form that is not read as times."""
    return column.shape == "text" and column.share_matching(FOREIGN) > MOST


def _moment(column: Column) -> Moment | None:
    found = words(column.name)
    named = not MOMENT.isdisjoint(found)
    if column.shape == "date" or (column.shape == "text" and column.share_matching(r"^\s*\d{4}-\d{2}-\d{2}") == 1.0):
        try:
            return Moment(column, "auto", read_times(column.series, "auto", column.name).values, named)
        except DataError:
            return None
    if column.shape != "number" or column.numbers is None:
        return None
    unit = _unit(column.numbers)
    if unit is None or (not named and not column.whole):
        unit = "step" if column.whole and column.distinct > 1 and _is_step(found[-1:], column.numbers) else None
    if unit is None:
        return None
    return Moment(column, unit, read_times(column.series, unit, column.name).values, named)


def _is_step(last: tuple[str, ...], numbers: pl.Series) -> bool:
    return not STEP.isdisjoint(last) and (last != ("day",) or extremes(numbers)[1] > LONGEST_MONTH)


def _unit(numbers: pl.Series) -> GivenUnit | None:
    low, high = extremes(numbers)
    units: tuple[GivenUnit, ...] = ("s", "ms", "us", "ns")
    for unit in units:
        bounds = [moment.timestamp() * 1e6 / SCALES[unit] for moment in (EARLIEST, LATEST)]
        if bounds[0] <= low and high < bounds[1]:
            return unit
    return None
