"""Given values in the one form that a feature's encoder expects, so that queries answered together do not change each other's types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tt_hydra.data.encoders import Bucketed, Encoder, Multi, Numeric, Text, Time, as_strings
from tt_hydra.errors import DataError

INT64 = 2**63


def plain(encoder: Encoder, value: Any) -> Any:
    """A value as the encoder's column holds it: a number, a string, a list of strings, or microseconds; None where it is missing.

    Raises:
        DataError: no such value can be made of it.
    """
    if isinstance(value, pl.Series):
        value = value.to_list()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(encoder, Multi):
        return _list(encoder, value)
    if isinstance(value, (list, tuple, Mapping)):
        raise DataError(f"feature {encoder.name!r} takes one value, got {_shown(value)}")
    if isinstance(encoder, (Numeric, Bucketed)):
        return _number(encoder.name, value)
    if isinstance(encoder, Time):
        return _time(encoder.name, value)
    return value if isinstance(encoder, Text) and isinstance(value, str) else _string(value)


def missing(encoder: Encoder, values: Sequence[str | None]) -> int:
    """How many values of a closed set the featurizer does not know."""
    known = frozenset(getattr(encoder, "vocabulary", ()))
    return sum(value not in known for value in values)


def _list(encoder: Multi, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        raise DataError(f"feature {encoder.name!r} takes a list of values, got {_shown(value)}")
    if isinstance(value, (list, tuple)):
        if any(isinstance(each, (list, tuple, Mapping)) for each in value):
            raise DataError(f"feature {encoder.name!r} takes a list of values, got {_shown(value)}")
        return [text for text in map(_string, value) if text is not None]
    text = _string(value)
    return [] if text is None else text.split(encoder.sep)


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text: str | None = None if value is None else as_strings(pl.Series([value], strict=False))[0]
    return text


def _number(name: str, value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if value == "":
            return None
        raise DataError(f"feature {name!r} is a number, got {_shown(value)}") from None
    if not math.isfinite(number):
        raise DataError(f"feature {name!r} is a finite number, got {_shown(value)}")
    return number


def _time(name: str, value: Any) -> int | None:
    if isinstance(value, str):
        column = pl.Series([value]).str.to_datetime(time_unit="us", strict=False, time_zone="UTC")
    elif isinstance(value, (int, float)):
        if not -INT64 <= value < INT64:
            raise DataError(f"feature {name!r} is a time in microseconds, got {_shown(value)}")
        return int(value)
    else:
        column = pl.Series([value]).cast(pl.Datetime("us"))
    micros: int | None = column.to_physical()[0]
    if micros is None and value != "":
        raise DataError(f"feature {name!r} is a time: give an ISO date and time or microseconds since 1970, got {_shown(value)}")
    return micros


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
