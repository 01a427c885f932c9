"""Conditions on item columns, and the rows that fulfil them.

``{"year": {"gte": 1990, "lt": 2000}, "genre": ["crime", "war"], "language": {"not": "en"}}``: every condition must hold. A column with
several values in a row fulfils ``value`` and ``[any of]`` where one of them does; a missing value, and a number that is none (NaN), fulfils
``not`` and nothing else.
"""

from __future__ import annotations

import json
import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from tt_hydra.contracts import BoolArray
from tt_hydra.errors import DataError
from tt_hydra.serve.cache import Lru
from tt_hydra.serve.catalogue import Items, moment

Filter = Mapping[str, Any]
RANGES: Mapping[str, Callable[[Any, Any], Any]] = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
NOT = "not"
KEPT = 64
"""Filters whose rows are remembered."""


class Masks:
    """Rows that fulfil filters, remembered for the bundle's rows and extended by what is added."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._kept: Lru[BoolArray] = Lru(KEPT)
        self._lock = threading.Lock()

    def rows(self, wanted: Filter, size: int) -> BoolArray:
        """``(size,)`` bool, read only: the rows that fulfil a filter.

        Raises:
            DataError: an unknown column, or a condition that makes no sense for its values.
        """
        key = json.dumps(wanted, sort_keys=True)
        known = self._kept.get(key)
        if known is None or len(known) < size:
            try:
                with self._lock:
                    known = self._extended(wanted, self._kept.get(key), size)
            except pl.exceptions.PolarsError as error:  # of a rare type: one request's mistake is not the others'
                raise DataError(f"filter: {key[:60]} cannot be compared with columns of these types: {str(error)[:200]}") from error
            self._kept.put(key, known)
        return known if len(known) == size else _read_only(known[:size])

    def _extended(self, wanted: Filter, known: BoolArray | None, size: int) -> BoolArray:
        condition = self._condition(wanted)
        if known is None:
            columns = [self._items.column(name) for name in wanted]
            known = pl.DataFrame(columns).select(condition).to_series().to_numpy()
        if len(known) < size:
            start, stop = len(known) - self._items.base, size - self._items.base
            added = pl.DataFrame([self._items.added(name, start, stop) for name in wanted])
            known = np.concatenate([known, added.select(condition).to_series().to_numpy()])
        return _read_only(known)

    def _condition(self, wanted: Filter) -> pl.Expr:
        parts = [self._of_column(name, rule) for name, rule in wanted.items()]
        return pl.all_horizontal(*parts).alias("fulfilled")

    def _of_column(self, name: str, rule: Any) -> pl.Expr:
        if name not in self._items.types:
            raise DataError(f"filter: items have no column {name!r}; they have {', '.join(self._items.types)}")
        column = _Column(name, self._items.types[name], self._items.separators.get(name))
        if not isinstance(rule, Mapping):
            return column.any_of(rule)
        if not rule:
            raise DataError(f"filter.{name} is empty: give a value, a list of values or {{{', '.join([*RANGES, NOT])}}}")
        return pl.all_horizontal(*(self._rule(column, kind, value) for kind, value in rule.items()))

    def _rule(self, column: _Column, kind: str, value: Any) -> pl.Expr:
        if kind == NOT:
            return ~column.any_of(value)
        if kind not in RANGES:
            raise DataError(f"filter.{column.name} knows no {kind!r}: it takes {', '.join([*RANGES, NOT])}")
        return column.range(kind, value)


def _read_only(mask: BoolArray) -> BoolArray:
    mask.flags.writeable = False
    return mask


class _Column:
    """A column of the items in a condition."""

    def __init__(self, name: str, kind: pl.DataType, separator: str | None) -> None:
        self.name, self._kind = name, kind
        self._expression = pl.col(name)
        if separator is not None:
            self._expression = self._expression.str.split(separator).list.eval(pl.element().str.strip_chars())
        elif isinstance(kind, pl.Array):
            self._expression = self._expression.arr.to_list()
        elif kind.is_float():
            self._expression = self._expression.fill_nan(None)
        self._many = separator is not None or isinstance(kind, (pl.List, pl.Array))
        self._of: pl.DataType = kind.inner if isinstance(kind, (pl.List, pl.Array)) else kind  # type: ignore[assignment]  # instances

    def any_of(self, value: Any) -> pl.Expr:
        values = value if isinstance(value, (list, tuple)) else [value]
        known = [self._literal(each) for each in values if each is not None]
        if self._of.is_integer():  # others are equal to none; polars refuses to look for them
            known = [int(each) for each in known if abs(each) < 2**64 and each == int(each)]
        elif self._of.is_float():
            known = [float(each) for each in known]
        if self._many:
            found = [self._expression.list.contains(each).fill_null(False) for each in known]
        else:
            found = [(self._expression == each).fill_null(False) for each in known] if len(known) < 2 else [self._is_in(known)]
        if None in values:
            found.append(self._expression.is_null())
        nothing = pl.col(self.name).is_null() & False  # of the column's length, which a literal is not
        return pl.any_horizontal(*found) if found else nothing

    def _is_in(self, known: Sequence[Any]) -> pl.Expr:
        kind = self._of if self._of.is_numeric() else None
        return self._expression.is_in(pl.Series(known, dtype=kind, strict=False).drop_nulls().implode()).fill_null(False)

    def range(self, kind: str, value: Any) -> pl.Expr:
        if self._many:
            raise DataError(f"filter.{self.name}: a column of several values has no order; give a value or a list of values")
        if isinstance(value, (list, tuple, Mapping, bool)) or value is None:
            raise DataError(f"filter.{self.name}.{kind} takes one value, got {value!r}")
        found: pl.Expr = RANGES[kind](self._expression, self._literal(value))
        return found.fill_null(False)

    def _literal(self, value: Any) -> Any:
        """The value in the column's type."""
        if isinstance(value, (list, tuple, Mapping)):
            raise DataError(f"filter.{self.name} takes a value, a list of values or {{{', '.join([*RANGES, NOT])}}}, got {str(value)[:60]}")
        if self._of == pl.Boolean and isinstance(value, bool):
            return value
        if self._of.is_numeric() and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._bounded(value)
        if self._of == pl.String and isinstance(value, (str, int)) and not isinstance(value, bool):
            return str(value)
        if self._of == pl.Duration and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._time(value)
        if self._of.is_temporal() and self._of != pl.Duration and isinstance(value, str):
            return self._time(value)
        raise DataError(f"filter.{self.name}: the column holds {self._of}, got {value!r}")

    def _bounded(self, value: float) -> float:
        return value if abs(value) < 2**63 else float(value)

    def _time(self, value: Any) -> Any:
        try:
            return moment(value, self._of)
        except (ValueError, OverflowError) as error:
            told = "2026-01-31, 2026-01-31T12:00:00 or, where the column holds times of day, 12:00:00"
            raise DataError(f"filter.{self.name}: {value!r} is no ISO date or time of {self._of}, such as {told}") from error
