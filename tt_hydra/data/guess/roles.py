"""What the columns of the interactions are for, besides the ids and the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite

import polars as pl

from tt_hydra.data.columns import PARTS
from tt_hydra.data.event_table import RESERVED
from tt_hydra.data.guess.column import Column, extremes, mean, share, strings
from tt_hydra.data.guess.features import SEPARATORS, Feature, Left, feature
from tt_hydra.data.guess.moments import find, looks_like_dates
from tt_hydra.data.guess.names import ANSWERED, ASKED, CONTEXT, GRADED, JUDGED, KIND_OF_EVENT, OUTCOME, RATED, SHOWN, is_id, says, words

MANY = 1000
"""Distinct values above which a column is no context of an event."""
GRADES = 6
"""Whole numbers of a judgement, at most."""
MEMBERS = 0.5
"""Share of listed values that must be items for a list to be of items."""


@dataclass(frozen=True, slots=True)
class Use:
    """A column and why it is used for what it is."""

    column: str
    why: str
    sep: str | None = None


@dataclass(slots=True)
class Roles:
    """What the columns of the interactions are for; each column is in one place.

    Attributes:
        labels: columns that say what came of an event.
        context: features of the event.
        left: columns that are not used.
        notes: more to say about a column that is used.
    """

    split: Use | None = None
    text: Use | None = None
    weight: Use | None = None
    impressions: Use | None = None
    teacher: Use | None = None
    labels: list[Use] = field(default_factory=list)
    context: dict[str, Feature] = field(default_factory=dict)
    left: dict[str, Left] = field(default_factory=dict)

    def compared(self) -> list[str]:
        """The columns by which reading tells one event from another, besides its ids and its time."""
        uses = [self.split, self.text, self.weight, self.teacher, *self.labels]
        return [*(use.column for use in uses if use is not None), *self.context]


@dataclass(frozen=True, slots=True)
class Around:
    """What the other columns need to be understood.

    Attributes:
        query: values of the query's id by row; None where there is none.
        item: values of the item's id by row; None where it is not known.
        items: ids of all items; None where there is no table.
    """

    query: pl.Series | None
    item: pl.Series | None
    items: pl.Series | None


def roles(columns: Sequence[Column], around: Around) -> Roles:
    """What the columns are for that are neither id nor time."""
    found = Roles()
    left = list(columns)
    found.split = _take(left, _split)
    found.impressions = _take(left, lambda column: _impressions(column, around.items))
    found.text = _asked(left, around.query is not None)
    found.teacher = _take(left, _teacher)
    found.weight = _take(left, _weight)
    for column in left:
        _settle(column, around, found)
    return found


def _take(left: list[Column], role: Callable[[Column], Use | None]) -> Use | None:
    for column in left:
        use = role(column)
        if use is not None:
            left.remove(column)
            return use
    return None


def _split(column: Column) -> Use | None:
    if column.shape != "text" or column.known < column.rows or not 2 <= column.distinct <= len(PARTS):
        return None
    names = strings(column.series).str.strip_chars().str.to_lowercase()
    if not names.is_in(list(PARTS)).all():
        return None
    counts = names.replace_strict(PARTS, return_dtype=pl.String).value_counts(name="n", sort=True)
    parts = dict(counts.iter_rows())
    if not {"train", "test"} <= parts.keys():
        return None
    return Use(column.name, ", ".join(f"{part} {share(count / column.rows)}" for part, count in parts.items()))


def _impressions(column: Column, items: pl.Series | None) -> Use | None:
    if items is None or (column.shape != "list" and not (column.shape == "text" and says(column.name, SHOWN))):
        return None
    for sep in [None] if column.shape == "list" else [*SEPARATORS, " "]:
        if sep is None and isinstance(column.series.dtype, (pl.List, pl.Array)) and column.series.dtype.inner.is_nested():
            return None
        lists = column.series if sep is None else strings(column.series).str.split(sep)
        named = lists.explode().cast(pl.String).str.strip_chars().drop_nulls()
        known = named.is_in(items.implode()).mean()
        if isinstance(known, float) and known >= MEMBERS and len(named) > column.known:
            return Use(column.name, f"{share(known)} of the listed ids are items; {len(named) / max(1, column.known):.1f} in a row", sep)
    return None


def _asked(left: list[Column], has_query: bool) -> Use | None:
    """The text of the event: named so, or the only text where nothing else says what was asked."""
    texts = [column for column in left if column.shape == "text" and column.distinct > 1 and not is_id(column.name)]
    named = [column for column in texts if says(column.name, ASKED)]
    others = [column for column in texts if not says(column.name, ANSWERED) and column.words() >= 1.5 and not find([column])]
    chosen = named[:1] or ([] if has_query or len(others) != 1 else others)
    if not chosen:
        return None
    left.remove(chosen[0])
    why = "named like what somebody asks" if named else "the only texts, and no id says who asked"
    return Use(chosen[0].name, f"{why}; {chosen[0].distinct:,} distinct texts of {chosen[0].words():.1f} words")


def _teacher(column: Column) -> Use | None:
    if column.shape == "number" and "teacher" in words(column.name):
        return Use(column.name, "a teacher's scores, by its name")
    return None


def _weight(column: Column) -> Use | None:
    """A graded judgement, or a flag of success whose 0 means that there was none."""
    numbers = column.series.cast(pl.Float64) if column.shape == "bool" else column.numbers
    if numbers is None or column.known < column.rows or column.distinct < 2:
        return None
    low, high = extremes(numbers)
    if low < 0 or not isfinite(high):
        return None
    nothing = mean(numbers == 0)
    flag = column.distinct == 2 and nothing > 0 and says(column.name, OUTCOME)
    judged = column.whole and column.distinct <= GRADES and says(column.name, JUDGED)
    if not (flag or judged or says(column.name, GRADED)):
        return None
    zero = f"; 0 drops {share(nothing)} of the rows" if nothing else ""
    return Use(column.name, f"by its name and its {column.distinct:,} values from {low:g} to {high:g}{zero}")


def _settle(column: Column, around: Around, found: Roles) -> None:
    name, kind = column.name, feature(column)
    if name in RESERVED:
        found.left[name] = Left(f"its name means something else here: rename the column to use it ({kind.why})")
    elif column.shape == "number" and column.distinct > 1 and says(name, RATED | OUTCOME):
        found.labels.append(Use(name, f"what came of the event, by its name; {kind.why}"))
    elif isinstance(kind, Left) and kind.instead is None:
        found.left[name] = kind
    elif says(name, ANSWERED):
        found.left[name] = Left(f"written after the event, by its name, so it would tell the answer; {kind.why}")
    elif looks_like_dates(column):
        found.left[name] = Left("dates that are not ISO 8601: write 2024-06-01T12:30:00Z to use them as the time")
    elif says(name, KIND_OF_EVENT):
        found.left[name] = Left(f"a kind of event, by its name; every row counts as a success: keep those that are; {kind.why}")
    elif around.item is not None and _depends(column, around.item):
        found.left[name] = Left(f"the same in all events of an item, so it would tell the answer; it belongs to the items; {kind.why}")
    else:
        _as_context(column, kind, around, found)


def _as_context(column: Column, kind: Feature | Left, around: Around, found: Roles) -> None:
    """Only what is known when the query is asked: what the name says to be, or what does not change within a query."""
    name, few = column.name, column.distinct <= MANY and not is_id(column.name)
    declared = written(kind) if isinstance(kind, Feature) else kind.instead
    if isinstance(kind, Feature) and kind.kind == "categorical" and few and says(name, CONTEXT):
        found.context[name] = Feature("categorical", f"known when the query is asked, by its name; {kind.why}")
    elif isinstance(kind, Feature) and around.query is not None and not is_id(name) and _depends(column, around.query):
        found.context[name] = Feature(kind.kind, f"the same in all events of a query; {kind.why}", kind.sep, kind.normalize)
    else:
        found.left[name] = Left(f"may be known before the event (then it is context) or come of it (then it is none); {kind.why}", declared)


def written(kind: Feature) -> str:
    """A feature as YAML."""
    more = {"sep": None if kind.sep is None else f'"{kind.sep}"', "normalize": kind.normalize}
    given = ", ".join(f"{key}: {value}" for key, value in more.items() if value is not None)
    return f"{{kind: {kind.kind}, {given}}}" if given else kind.kind


def _depends(column: Column, key: pl.Series) -> bool:
    """Whether a column has one value for each value of the key, which occur again and again."""
    if column.shape in ("list", "other") or column.distinct < 2:
        return False
    pairs = pl.DataFrame({"key": strings(key), "value": strings(column.series)}).drop_nulls()
    keys = pairs["key"].n_unique()
    return len(pairs) >= 2 * keys and pairs.unique().height == keys
