"""What kind of feature a column of queries or items is, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from tt_hydra.data.declaration import FeatureKind, Normalize
from tt_hydra.data.guess import moments
from tt_hydra.data.guess.column import Column, extremes, share
from tt_hydra.data.guess.names import CATEGORY, POSTAL, QUANTITY, TEXT, TOTALS, is_id, says

UNIQUE = 0.9
"""Share of distinct values from which a column names its rows, rather than saying something about them."""
REPEATS = 0.5
"""Share of distinct values up to which texts are categories."""
FEW = 10
"""Whole numbers that take no more values than that are categories unless their name is that of a quantity."""
SINGLE = 1.5
"""Words up to which near-unique values are names rather than texts."""
SENTENCE = 6.0
"""Words from which texts are texts, even where many are equal."""
SHORT_PART = 3.0
"""Words of a value in a cell of several, at most."""
SKEWED = 100.0
"""Largest value over the median, from which the logarithm of a number says more."""
MOST = 0.5
"""Share of cells in brackets from which a column holds JSON."""
SEPARATORS = ("|", ";", ",")
ADDRESS = r"^\s*(https?://|www\.|s3://|/[\w.-]+/)"
MAIL = r"^\S+@\S+\.\S+$"
BRACKETS = r"(?s)^\s*(\[.*\]|\{.*\})\s*$"
HASH = r"^[0-9a-fA-F]{16,}$|^[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}$|^[\w+/=-]{20,}$"


@dataclass(frozen=True, slots=True)
class Feature:
    """A column that a tower shall see.

    Attributes:
        kind: of the feature.
        why: what was seen.
        sep: multi: separator of a cell that is a string.
        normalize: numeric: how numbers are scaled.
    """

    kind: FeatureKind
    why: str
    sep: str | None = None
    normalize: Normalize | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A column that no tower sees.

    Attributes:
        why: what was seen.
        instead: its declaration, for who knows better; None where there is no sensible one.
    """

    why: str
    instead: str | None = None


def feature(column: Column, totals: bool = False) -> Feature | Left:
    """The feature that a column is.

    Args:
        column: of the queries or of the items.
        totals: whether a column that counts events of all times is to be feared, as with items.
    """
    reason = _useless(column, totals)
    if reason is not None:
        return reason
    match column.shape:
        case "list":
            return _list(column)
        case "bool":
            return Feature("categorical", f"true or false, {_missing(column)}")
        case "number":
            return _number(column)
        case _:
            return _text(column)


def _useless(column: Column, totals: bool) -> Left | None:
    if column.known == 0:
        return Left("no row has a value")
    if column.shape == "other":
        return _unread(column.series.dtype)
    if column.distinct == 1 and column.known == column.rows:
        return Left("has the same value in every row")
    if totals and column.shape in ("number", "bool") and says(column.name, TOTALS):
        kind = "categorical" if column.shape == "bool" else "numeric"
        return Left("by its name it sums up events of all times, those of the test too; data.statistics counts up to each event", kind)
    if _is_moment(column):
        return Left("a time; as a feature it gives hour and weekday, and a number such as the year may say more", "time")
    return None


def _unread(kind: pl.DataType) -> Left:
    remedy = "make numbers of it, such as seconds" if kind == pl.Duration else "make columns of its parts"
    return Left(f"holds {kind}, which is no feature: {remedy}")


def _list(column: Column) -> Feature | Left:
    inner = column.series.dtype.inner if isinstance(column.series.dtype, (pl.List, pl.Array)) else pl.Null()
    if inner.is_nested() or inner in (pl.Binary, pl.Duration):
        return _unread(column.series.dtype)
    if inner.is_float():
        return Left("lists of numbers, perhaps vectors; data=vectors takes ready-made ones")
    flat = column.series.explode().cast(pl.String).drop_nulls()
    if flat.n_unique() > UNIQUE * max(1, len(flat)) and len(flat) > FEW:
        return Left(f"lists whose values hardly repeat ({flat.n_unique():,} distinct of {len(flat):,})", "multi")
    return Feature("multi", f"lists, {flat.n_unique():,} distinct values, {_missing(column)}")


def _number(column: Column) -> Feature | Left:
    assert column.numbers is not None
    seen = f"{column.distinct:,} distinct numbers, {_missing(column)}"
    named = is_id(column.name)
    if column.whole and column.different > UNIQUE and column.known > FEW and (named or _counts_up(column.numbers)):
        return Left(f"names its rows: {seen}", "categorical")
    if column.whole and (named or says(column.name, POSTAL)):
        return Feature("categorical", f"an id or code: {seen}")
    if column.whole and column.distinct <= FEW and not says(column.name, QUANTITY):
        return Feature("categorical", f"few whole numbers: {seen}")
    low, high = extremes(column.numbers)
    middle = float(column.numbers.quantile(0.5, "nearest") or 0.0)
    skewed = low >= 0 and high > SKEWED * max(middle, 1e-9) and high > SKEWED
    return Feature("numeric", f"{low:g} to {high:g}, {seen}", normalize="log" if skewed else None)


def _text(column: Column) -> Feature | Left:
    seen = f"{column.distinct:,} distinct values ({share(column.different)} of those known), {_missing(column)}"
    reason = _unreadable(column, seen)
    if reason is not None:
        return reason
    several, words_each = _several(column), column.words()
    if several is not None:
        return several
    if words_each < SENTENCE and _is_category(column):
        return Feature("categorical", seen)
    if words_each >= SINGLE or says(column.name, TEXT):
        return Feature("text", f"texts of {words_each:.1f} words; {seen}")
    if column.different <= UNIQUE:
        return Left(f"most of its values are there once: {seen}", "categorical")
    return Left(f"names its rows: {seen}", "text")


def _is_category(column: Column) -> bool:
    """Whether values of a few words repeat; of few rows, or of a name that says so, fewer must."""
    lenient = column.known <= 2 * FEW or says(column.name, CATEGORY)
    return column.different <= (UNIQUE if lenient else REPEATS)


def _unreadable(column: Column, seen: str) -> Left | None:
    bracketed = column.share_matching(BRACKETS)
    if bracketed > MOST:
        how = "write lists as a|b, or as lists in Parquet or JSON lines"
        return Left(f"JSON or the like in {share(bracketed)} of the cells: {how}; {seen}")
    what = _names(column)
    return None if what is None else Left(f"{what}: {seen}", "categorical" if column.different <= REPEATS else None)


def _names(column: Column) -> str | None:
    """What its values are if they only name something."""
    kinds = [(ADDRESS, "addresses of files or pages"), (MAIL, "mail addresses")]
    for pattern, what in [*kinds, (HASH, "hashes or codes")] if column.different > REPEATS else kinds:
        if column.share_matching(pattern) > UNIQUE:
            return what
    if is_id(column.name) and column.different > UNIQUE and column.words() < 2 and column.known > FEW:
        return "ids"
    return None


def _several(column: Column) -> Feature | None:
    """Several categories in a cell: their parts are short and repeat, more often than the cells do."""
    cells = column.sample()
    for sep in SEPARATORS:
        split = cells.filter(cells.str.contains(sep, literal=True))
        if len(split) < 0.1 * len(cells):
            continue
        parts = cells.str.split(sep).explode().str.strip_chars()
        parts = parts.filter(parts != "")
        short = (parts.str.count_matches(r"\S+") <= SHORT_PART).mean()
        distinct = parts.n_unique()
        if distinct <= REPEATS * len(parts) and distinct <= 2 * column.distinct and isinstance(short, float) and short > UNIQUE:
            return Feature("multi", f"{share(len(split) / len(cells))} of the cells hold several, {distinct:,} distinct parts", sep=sep)
    return None


def _counts_up(numbers: pl.Series) -> bool:
    """Whether numbers are those of the rows."""
    return len(numbers) > 1 and bool((numbers.diff().drop_nulls() == 1).all())


def _is_moment(column: Column) -> bool:
    found = moments.find([column])
    return bool(found) and found[0].dated and (found[0].named or column.shape != "number")


def _missing(column: Column) -> str:
    return f"missing in {share(1 - column.known / column.rows)}" if column.known < column.rows else "none missing"
