"""Encoders of one declared feature: fitted on the training part's rows, kept as plain data, used alike for the data set and for serving.

Each encoder takes a raw column and gives encoded columns by feature name (a timestamp gives two). ``features`` says what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from tt_hydra.contracts import UNKNOWN, Feature, Kind, Ragged
from tt_hydra.data.columns import listed, with_features
from tt_hydra.data.declaration import FeatureSpec, Normalize
from tt_hydra.data.encoded import Column
from tt_hydra.errors import DataError

FIRST_CODE = UNKNOWN + 1
DICT_LOOKUP = 4096
"""Below this many values a dictionary is faster than a polars cast, which visits the whole vocabulary."""

MICROSECONDS_PER_HOUR = 3_600_000_000


def as_strings(column: pl.Series) -> pl.Series:
    """A column's values as the strings that vocabularies hold: a whole number is written alike as int, float or text; empty is missing."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.floor()) & (column.abs() < 2**53)
        texts = column.cast(pl.String)
        written = column.cast(pl.Int64, strict=False).cast(pl.String).zip_with(whole.fill_null(False), texts)
        return written.zip_with(~column.is_nan().fill_null(True), pl.Series([None], dtype=pl.String))
    texts = column.cast(pl.String, strict=False)
    return texts.zip_with((texts != "").fill_null(False), pl.Series([None], dtype=pl.String))


def as_numbers(column: pl.Series) -> npt.NDArray[np.float64]:
    """A column's values as float64; NaN where missing, infinite or no number."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    numbers = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _vocabulary(values: pl.Series, min_count: int) -> tuple[str, ...]:
    counts = values.drop_nulls().value_counts(name="n").filter(pl.col("n") >= min_count)
    return tuple(counts.sort(["n", values.name], descending=[True, False])[values.name].to_list())


@dataclass(frozen=True, kw_only=True)
class _Coded:
    name: str
    vocabulary: tuple[str, ...] = ()

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {value: code for code, value in enumerate(self.vocabulary, FIRST_CODE)}

    def codes(self, values: pl.Series) -> npt.NDArray[np.int32]:
        """Code of each string: ``UNKNOWN`` for a missing or unknown one."""
        if len(values) < DICT_LOOKUP:
            return self.coded(values.to_list())
        found = values.cast(pl.Enum(self.vocabulary), strict=False).to_physical().cast(pl.Int64)
        return (found + FIRST_CODE).fill_null(UNKNOWN).to_numpy().astype(np.int32)

    def coded(self, values: Iterable[str | None]) -> npt.NDArray[np.int32]:
        """The same, one by one."""
        return np.array([self._numbers.get(value, UNKNOWN) if value is not None else UNKNOWN for value in values], np.int32)


class Categorical(_Coded):
    """One category a row: the most frequent value of the training part has the lowest code."""

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: pl.Series) -> Categorical:
        """Learns the vocabulary from the training part's rows."""
        return cls(name=name, vocabulary=_vocabulary(as_strings(column), spec.min_count))

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature."""
        return (Feature(name=self.name, kind=Kind.CATEGORICAL, size=FIRST_CODE + len(self.vocabulary)),)

    def encode(self, column: pl.Series) -> dict[str, Column]:
        """``(rows,)`` int32 codes."""
        return {self.name: self.codes(as_strings(column))}

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a value."""
        return as_strings(column).null_count()


@dataclass(frozen=True, kw_only=True)
class Multi(_Coded):
    """A set of categories a row, from a list column or a string with separators."""

    sep: str = "|"

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: pl.Series) -> Multi:
        """Learns the vocabulary from the training part's rows; a value counts once a row."""
        flat = _lists(column, spec.sep).explode().rename(name)
        return cls(name=name, vocabulary=_vocabulary(flat, spec.min_count), sep=spec.sep)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature."""
        return (Feature(name=self.name, kind=Kind.MULTI, size=FIRST_CODE + len(self.vocabulary)),)

    def encode(self, column: pl.Series) -> dict[str, Column]:
        """Rows of int32 codes, each value once; a row without a value is empty."""
        lists = _lists(column, self.sep)
        lengths = lists.list.len().to_numpy().astype(np.int64)
        flat = lists.explode(empty_as_null=False, keep_nulls=False)
        return {self.name: Ragged(self.codes(flat), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))}

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a value."""
        return int((_lists(column, self.sep).list.len() == 0).sum())


def _lists(column: pl.Series, sep: str) -> pl.Series:
    is_list = isinstance(column.dtype, (pl.List, pl.Array))
    lists = listed(column) if is_list else as_strings(column).str.split(sep)
    stripped = lists.list.eval(pl.element().str.strip_chars())
    kept = stripped.list.eval(pl.element().filter(pl.element().is_not_null() & (pl.element() != "")))
    return kept.fill_null([]).list.unique(maintain_order=True)


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A number, normalised with constants of the training part, and a flag where it is missing."""

    name: str
    normalize: Normalize = "standard"
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: pl.Series) -> Numeric:
        """Learns mean and standard deviation from the training part's rows (0 and 1 for ``normalize: none``)."""
        if spec.normalize == "none":
            return cls(name=name, normalize="none")
        mean, std = moments(_curved(as_numbers(column), spec.normalize))
        return cls(name=name, normalize=spec.normalize, mean=mean, std=std)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature."""
        return (Feature(name=self.name, kind=Kind.NUMERIC),)

    def encode(self, column: pl.Series) -> dict[str, Column]:
        """``(rows, 2)`` float32: the normalised value, 0 where missing, and the missing flag."""
        return {self.name: self.normalized(as_numbers(column))}

    def normalized(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """``(rows, 2)``, the same from numbers, NaN where missing."""
        numbers = (_curved(numbers, self.normalize) - self.mean) / self.std
        missing = np.isnan(numbers)
        pairs = np.empty((len(numbers), 2), np.float32)
        pairs[:, 0], pairs[:, 1] = numbers, missing
        pairs[missing, 0] = 0
        return pairs

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a number."""
        return int(np.isnan(as_numbers(column)).sum())


def _curved(numbers: npt.NDArray[np.float64], normalize: Normalize) -> npt.NDArray[np.float64]:
    return np.sign(numbers) * np.log1p(np.abs(numbers)) if normalize == "log" else numbers


def moments(numbers: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation of the numbers that are not NaN; a constant column has deviation 1, an empty one mean 0."""
    known = numbers[~np.isnan(numbers)].astype(np.float64)
    if len(known) == 0:
        return 0.0, 1.0
    mean, std = float(known.mean()), float(known.std())
    return mean, std if std > 1e-9 * max(1.0, abs(mean)) else 1.0


@dataclass(frozen=True, kw_only=True)
class Bucketed:
    """A number cut into buckets of about equal numbers of training rows, which are categories."""

    name: str
    edges: tuple[float, ...] = ()

    @classmethod
    def fit(cls, name: str, spec: FeatureSpec, column: pl.Series) -> Bucketed:
        """Learns the quantiles of the training part's rows; equal quantiles share a bucket, so none is empty."""
        numbers = as_numbers(column)
        known = numbers[~np.isnan(numbers)]
        if len(known) == 0:
            return cls(name=name)
        inner = np.quantile(known, np.arange(1, spec.bins) / spec.bins, method="higher")
        return cls(name=name, edges=tuple(float(edge) for edge in np.unique(inner) if edge > known.min()))

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature, a categorical one."""
        return (Feature(name=self.name, kind=Kind.CATEGORICAL, size=FIRST_CODE + len(self.edges) + 1),)

    def encode(self, column: pl.Series) -> dict[str, Column]:
        """``(rows,)`` int32 codes of the buckets."""
        return {self.name: self.buckets(as_numbers(column))}

    def buckets(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """The same from numbers, NaN where missing."""
        found = np.searchsorted(np.array(self.edges), numbers, side="right") + FIRST_CODE
        return np.where(np.isnan(numbers), UNKNOWN, found).astype(np.int32)

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a number."""
        return int(np.isnan(as_numbers(column)).sum())


@dataclass(frozen=True, kw_only=True)
class Time:
    """Hour of the day and day of the week (Monday first) of a timestamp, UTC: two categorical features."""

    name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """The hour and the weekday."""
        sizes = {"hour": 24, "weekday": 7}
        return tuple(Feature(name=f"{self.name}.{part}", kind=Kind.CATEGORICAL, size=FIRST_CODE + size) for part, size in sizes.items())

    def encode(self, column: pl.Series) -> dict[str, Column]:
        """``(rows,)`` int32 codes by feature."""
        times = self._times(column)
        hours = times.to_physical() // MICROSECONDS_PER_HOUR
        days = hours // 24
        parts = {"hour": hours - 24 * days, "weekday": (days + 3) % 7}  # 1970-01-01 was a Thursday
        return {f"{self.name}.{part}": (codes + FIRST_CODE).fill_null(UNKNOWN).to_numpy().astype(np.int32) for part, codes in parts.items()}

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a timestamp."""
        return self._times(column).null_count()

    def _times(self, column: pl.Series) -> pl.Series:
        if column.dtype == pl.String:
            column = column.str.to_datetime(time_unit="us", strict=False, time_zone="UTC")
        if column.dtype.is_float() or column.dtype == pl.Null:
            column = column.cast(pl.Int64, strict=False)
        if not (column.dtype.is_integer() or column.dtype in (pl.Date, pl.Datetime)):
            raise DataError(f"feature {self.name!r} is declared as time but its column is {column.dtype}: expected microseconds or a date")
        return column.cast(pl.Datetime("us"))


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text, kept as a string until a tower's tokenizer is known."""

    name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """The one feature."""
        return (Feature(name=self.name, kind=Kind.TEXT),)

    def texts(self, column: pl.Series) -> pl.Series:
        """The strings, empty where missing."""
        return as_strings(column).fill_null("").rename(self.name)

    def missing(self, column: pl.Series) -> int:
        """Number of rows without a text."""
        return int((self.texts(column).str.strip_chars() == "").sum())


Encoder = Categorical | Multi | Numeric | Bucketed | Time | Text
ENCODERS: Mapping[str, type[Encoder]] = {kind.__name__: kind for kind in (Categorical, Multi, Numeric, Bucketed, Time, Text)}


def fit_encoder(name: str, spec: FeatureSpec, column: pl.Series) -> Encoder:
    """The encoder of a declared feature, fitted on the rows of the training part."""
    column = column.rename(name)
    match spec.kind:
        case "text":
            return Text(name=name)
        case "time":
            return Time(name=name)
        case "categorical":
            return Categorical.fit(name, spec, column)
        case "multi":
            return Multi.fit(name, spec, column)
        case "numeric":
            return Bucketed.fit(name, spec, column) if spec.bins else Numeric.fit(name, spec, column)


def read_as_trained(frame: pl.DataFrame, encoders: Sequence[Encoder], name: str) -> pl.DataFrame:
    """A file's times and numbers in the form in which the training read them; ``name`` is what messages call the file.

    Raises:
        DataError: a value is no time or no number.
    """
    told = [each for each in encoders if isinstance(each, (Time, Numeric, Bucketed)) and each.name in frame.columns]
    return with_features(frame, {each.name: FeatureSpec(kind="time" if isinstance(each, Time) else "numeric") for each in told}, name)
