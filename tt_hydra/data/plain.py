"""A few given values without a data frame: first in the one form that a feature's encoder expects, then encoded.

A column takes the type of all its values, so queries that are answered together would change each other's; in this form they do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tt_hydra.contracts import Ragged, Tokenizer
from tt_hydra.data.encoded import Column
from tt_hydra.data.encoders import Bucketed, Encoder, Multi, Numeric, Text, Time, as_strings
from tt_hydra.errors import DataError

INT64 = 2**63
LARGEST = 3.4e38
"""Of the numbers that towers compute with."""


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


def columns_of(encoder: Encoder, values: Sequence[Any], tokenizer: Tokenizer | None) -> dict[str, Column]:
    """Encoded columns of plain values, by feature name: what the encoder makes of a column of them."""
    match encoder:
        case Text():
            assert tokenizer is not None
            return {encoder.name: tokenizer([value or "" for value in values])}
        case Multi():
            return {encoder.name: _ragged(encoder, values)}
        case Numeric():
            return {encoder.name: encoder.normalized(_numbers(values))}
        case Bucketed():
            return {encoder.name: encoder.buckets(_numbers(values))}
        case Time():
            return encoder.encode(pl.Series(encoder.name, values, pl.Int64))
    return {encoder.name: encoder.coded(values)}


def _numbers(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _ragged(encoder: Multi, values: Sequence[Sequence[str] | None]) -> Ragged:
    """Each value of a row once, in order, blanks around it and empty ones left out."""
    rows = [dict.fromkeys(filter(None, (each.strip() for each in value or ()))) for value in values]
    lengths = np.array([len(row) for row in rows], np.int64)
    return Ragged(encoder.coded(each for row in rows for each in row), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


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
    if not abs(number) <= LARGEST:
        raise DataError(f"feature {name!r} is a finite number of 32 bits, got {_shown(value)}")
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
