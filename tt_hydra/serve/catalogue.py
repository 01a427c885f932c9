"""The items of a served version: those of its bundle and those added since, by row and by id.

A row never changes what it is; an id moves to another row when it is written again. Whoever reads holds a snapshot of the index, in
which rows of later writes do not occur, so nothing here needs a lock against readers: lists only grow, and an entry of a dictionary
is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from tt_hydra.data.encoders import Multi, Time, as_strings
from tt_hydra.data.plain import plain
from tt_hydra.errors import DataError
from tt_hydra.serve.retriever import Retriever

ID = "id"
VECTOR = "vector"
"""Name under which items carry a ready-made vector; no column may have it."""


class Items:
    """Items by row and by id.

    Attributes:
        types: type of each column of the bundle's items.
        separators: of columns of strings that hold several values, by column.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._bundle = bundle = retriever.bundle
        self.base = bundle.manifest.num_items
        self._base_ids, self._base_row = retriever.ids, retriever.row_of
        self.types: Mapping[str, pl.DataType] = dict(pl.read_parquet_schema(bundle.folder / "items.parquet"))
        multi = {each.name: each.sep for each in bundle.featurizer.items if isinstance(each, Multi)}
        self.separators = {name: sep for name, sep in multi.items() if self.types.get(name) == pl.String}
        times = [each for each in bundle.featurizer.items if isinstance(each, Time)]
        self._times = {each.name: each for each in times if self.types.get(each.name) == pl.Int64}
        self._columns: dict[str, pl.Series] = {}
        self._added_ids: list[str] = []
        self._added: list[Mapping[str, Any]] = []
        self._rows_of: dict[str, tuple[int, ...]] = {}
        self._current: dict[str, int | None] = {}

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """Features of the items that are nothing but the id: whoever writes an item need not repeat it."""
        ids = pl.Series(self._base_ids, dtype=pl.String)
        names = [each.name for each in self._bundle.featurizer.items if each.name in self.types and not self.types[each.name].is_nested()]
        return tuple(name for name in names if (self.column(name).cast(pl.String, strict=False) == ids).fill_null(False).all())

    @property
    def size(self) -> int:
        """Rows, dead ones included."""
        return self.base + len(self._added_ids)

    def id_of(self, row: int) -> str:
        """The id of a row."""
        return self._base_ids[row] if row < self.base else self._added_ids[row - self.base]

    def current(self, identifier: str) -> int | None:
        """The row that an id lives in now; None for one that is unknown or deleted."""
        row = self._current.get(identifier, -1)
        return self._base_row.get(identifier) if row == -1 else row

    def rows_of(self, identifiers: Iterable[str], size: int) -> list[int]:
        """All rows below ``size`` that the ids ever lived in."""
        found = []
        for identifier in identifiers:
            row = self._base_row.get(identifier)
            if row is not None:
                found.append(row)
            found += [row for row in self._rows_of.get(identifier, ()) if row < size]
        return found

    def in_base(self, identifier: str) -> bool:
        """Whether the bundle has an item of this id."""
        return identifier in self._base_row

    def trimmed(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row of the log without columns that this version does not have, with features that are its id, should it lack them."""
        if not row.keys() <= self.types.keys():
            row = {name: value for name, value in row.items() if name in self.types or name == VECTOR}
        absent = [name for name in self.identity if name not in row]
        return {**self._of_id(absent, str(row[ID])), **row} if absent else row

    def _of_id(self, names: Iterable[str], identifier: str) -> dict[str, Any]:
        return {name: typed(name, [identifier], self.types[name])[0] for name in names}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Appends rows; they are found once `move` is told."""
        for row in rows:
            identifier = str(row[ID])
            self._rows_of[identifier] = (*self._rows_of.get(identifier, ()), self.size)
            self._added.append(row)
            self._added_ids.append(identifier)

    def move(self, places: Mapping[str, int | None]) -> None:
        """Says where ids live from now on; None for a deleted one."""
        self._current.update(places)

    def column(self, name: str) -> pl.Series:
        """A raw column of the bundle's items."""
        found = self._columns.get(name)
        if found is None:
            found = self._columns[name] = self._bundle.items(name)[name]
        return found

    def added(self, name: str, start: int, stop: int) -> pl.Series:
        """A raw column of added rows, ``start`` to ``stop`` counted from the first one added."""
        return typed(name, [row.get(name) for row in self._added[start:stop]], self.types[name])

    def fields(self, row: int, names: Iterable[str]) -> dict[str, Any]:
        """Some raw columns of a row, ready for JSON."""
        if row < self.base:
            return {name: jsonable(self._base_ids[row] if name == ID else self.column(name)[row]) for name in names}
        given = self._added[row - self.base]
        return {name: given.get(name) for name in names}

    def known_columns(self, names: Iterable[str]) -> list[str]:
        """Columns to show.

        Raises:
            DataError: there is no such column.
        """
        wanted = [name for name in names if name != VECTOR]
        for name in wanted:
            if name not in self.types:
                raise DataError(f"items have no column {name!r}; they have {', '.join(self.types)}")
        return wanted

    def row(self, given: Mapping[str, Any], needs_id: bool = True) -> dict[str, Any]:
        """An item as it is kept: its id as text, its columns in their types; a ready-made vector is not among them.

        Raises:
            DataError: it has no id, a column that there is not, or a value that does not fit its column.
        """
        identifier = given.get(ID, None if needs_id else "new")
        if isinstance(identifier, bool) or not isinstance(identifier, (str, int)) or identifier == "":
            raise DataError(f"an item needs an id, a text or a whole number; got {identifier!r}")
        for name in given:
            if name not in self.types and name != VECTOR:
                raise DataError(f"items have no column {name!r}; they have {', '.join(self.types)}")
        own = self._of_id(self.identity, str(identifier)) if ID in given else {}
        return {ID: str(identifier)} | own | {name: self._value(name, value) for name, value in given.items() if name not in (ID, VECTOR)}

    def _value(self, name: str, value: Any) -> Any:
        kind = self.types[name]
        if name in self._times:
            return plain(self._times[name], value)
        if isinstance(kind, (pl.List, pl.Array)):
            value = [value] if isinstance(value, (str, int, float)) else value
        elif isinstance(value, list):
            if name not in self.separators:
                raise DataError(f"column {name!r} holds one value, {kind}; got a list")
            value = self.separators[name].join(str(text) for text in map(_text, value) if text is not None)
        if value is None or (kind == pl.String and isinstance(value, str)):
            return value
        if isinstance(value, Mapping):
            raise DataError(f"column {name!r} holds {kind}; got a mapping")
        if _is_cut(value, kind):
            raise DataError(f"column {name!r} holds whole numbers, {kind}; got {str(value)[:60]}")
        if _inner(kind) == pl.String:
            value = [_text(each) for each in value] if isinstance(value, list) else _text(value)
        try:
            kept = typed(name, [value], kind, strict=True)[0]
        except (pl.exceptions.PolarsError, OverflowError, TypeError, ValueError) as error:
            raise DataError(f"column {name!r} holds {kind}; got {str(value)[:60]!r}") from error
        return jsonable(kept)


def _is_cut(value: Any, kind: pl.DataType) -> bool:
    """Whether a number would lose its fraction: polars cuts it off without a word."""
    numbers = value if isinstance(value, list) else [value]
    return _inner(kind).is_integer() and any(isinstance(each, float) and not each.is_integer() for each in numbers)


def _inner(kind: pl.DataType) -> pl.DataType:
    return kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind  # type: ignore[return-value]  # an instance


def _text(value: Any) -> Any:
    """A fraction as the text that tables make of it, by itself; whatever else as it is."""
    return as_strings(pl.Series([value]))[0] if isinstance(value, float) else value


def typed(name: str, values: Sequence[Any], kind: pl.DataType, strict: bool = False) -> pl.Series:
    """A column of plain values; times as `moment` takes them. What does not fit is missing.

    Raises:
        PolarsError, ValueError, TypeError, OverflowError: a value does not fit, and ``strict``.
    """
    if kind.is_temporal():
        values = [_moment(value, kind, strict) for value in values]
    return pl.Series(name, values, strict=False).cast(kind, strict=strict) if strict else pl.Series(name, values, kind, strict=False)


def _moment(value: Any, kind: pl.DataType, strict: bool) -> Any:
    if isinstance(value, (str, int, float, datetime)) and not isinstance(value, bool):
        with suppress(*(() if strict else (ValueError, TypeError, OverflowError))):
            return moment(value, kind)
        return None
    return value


def moment(value: Any, kind: pl.DataType) -> date | time | timedelta:
    """A plain value as a column of dates, times, moments or durations holds it.

    Args:
        value: an ISO text, for a duration its seconds; a moment without an offset is UTC where the column has a time zone.
        kind: of the column.

    Raises:
        ValueError, TypeError, OverflowError: it is none.
    """
    if kind == pl.Duration:
        return timedelta(seconds=value)
    if kind == pl.Time:
        return time.fromisoformat(value).replace(tzinfo=None)
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if kind == pl.Date:
        return found.date()
    zone = getattr(kind, "time_zone", None)
    if zone is None:
        return found.replace(tzinfo=None)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(ZoneInfo(zone))


def jsonable(value: Any) -> Any:
    """A raw value as JSON can hold it: dates and times as ISO texts, durations as seconds, sets as lists, bytes as hexadecimal digits."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple, pl.Series)):
        return [jsonable(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.hex() if isinstance(value, bytes) else str(value)
