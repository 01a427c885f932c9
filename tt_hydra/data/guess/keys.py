"""Which column of the interactions names the rows of a table: by the names of both columns, and by how many of its values are found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from tt_hydra.data.guess.column import Column, share, strings
from tt_hydra.data.guess.names import ITEM, PLAIN, QUERY, SESSION, USER, is_about, is_id, words
from tt_hydra.errors import DataError

SURE, NAMED, MAYBE, NOTHING = 3, 2, 1, 0
"""How much two names say: they are the same; both are of this side; one is an id; nothing."""
FOUND_IF_NAMED = 0.01
FOUND_IF_NOT = 0.9
"""Share of the values that must be found in the table where the names say that they mean the same, and where they do not."""
REACHED_IF_NOT, MANY = 0.1, 100
"""Share of the table's ids that a column must name then, unless it names more than so many: a few grades are found among any numbers."""
COMPARABLE = 0.5
"""Share of the ids that the best candidate names, from which another one could be meant."""
SHOWN, MOST_NAMED = 5, 20
"""Candidates that are listed, and columns that a refusal names."""
CLOSE = 0.05
"""Candidates whose shares differ by less are equally good."""
REPEATED = 0.9
"""Share of distinct values above which a column cannot be a query's id: each query would be there once."""

QUERIES = USER | QUERY | SESSION


@dataclass(frozen=True, slots=True)
class Key:
    """The two columns that mean the same.

    Attributes:
        event: column of the interactions; None where several would do, which are then in ``candidates``.
        table: column of the table; None where there is no table.
        why: what was seen.
        candidates: what to choose from, the likeliest first.
    """

    event: str | None
    table: str | None
    why: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    event: Column
    table: Column
    name: int
    found: float
    reached: float

    @property
    def rank(self) -> tuple[int, float, float]:
        return self.name, round(self.found, 2), self.reached

    @property
    def why(self) -> str:
        return f"{share(self.found)} of the interactions' values are found in {self.table.name!r}, {share(self.reached)} of which they name"


def match(events: Sequence[Column], table: Sequence[Column], side: frozenset[str], where: str) -> Key:
    """The key between interactions and a table.

    Args:
        events: columns of the interactions that may be it.
        table: columns of the table.
        side: words that name what the table's rows are.
        where: what messages call the table's file.

    Raises:
        DataError: no pair of columns fits, or the ids of the table are not unique.
    """
    pairs = list(_pairs(events, table, side))
    unique = [pair for pair in pairs if pair.table.distinct == pair.table.rows]
    best = max(unique, key=lambda pair: pair.rank, default=None)
    repeated = max((pair for pair in pairs if pair not in unique), key=lambda pair: pair.rank, default=None)
    if repeated is not None and repeated.name >= NAMED and (best is None or best.name < repeated.name):
        raise DataError(_not_unique(repeated.table, where))
    if best is None:
        raise DataError(_no_key(events, table, where))
    equals = [pair for pair in unique if pair.name == best.name and abs(pair.found - best.found) < CLOSE]
    if best.name < SURE:
        reached = max(pair.reached for pair in equals)
        equals = sorted((pair for pair in equals if pair.reached >= COMPARABLE * reached), key=lambda pair: pair.rank, reverse=True)
        best = equals[0]
    rivals = tuple(dict.fromkeys(pair.event.name for pair in equals))
    if len(rivals) > 1 and best.name < SURE:
        return Key(None, best.table.name, f"the values of {_listed(rivals, ' and of ')} are found in {best.table.name!r}", rivals)
    return Key(best.event.name, best.table.name, best.why)


def by_name(events: Sequence[Column], side: frozenset[str], what: str) -> Key:
    """The column of the interactions that is called like an id of something, where there is no table of it.

    Args:
        events: columns of the interactions that may be it.
        side: words that name the thing, all equally good.
        what: the thing, for the explanation.
    """
    ids = [column for column in events if column.can_be_id and column.distinct > 1 and _is_id_of(column, side)]
    ids = [column for column in ids if column.shape != "text" or column.words() < 2]
    named = [column for column in ids if is_id(column.name)] or ids
    if len(named) == 1:
        return Key(named[0].name, None, f"named like the id of a {what}; {named[0].distinct:,} distinct values")
    names = tuple(column.name for column in named)
    why = f"{_listed(names, ' and ')} could each be it" if names else f"no column is called like the id of a {what}"
    return Key(None, None, why, names)


def query_by_name(events: Sequence[Column]) -> Key:
    """The query's id where there is no table of queries: a user's, else a session's, else the only id that occurs again and again."""
    repeating = [column for column in events if column.can_be_id and column.distinct > 1 and column.different < REPEATED]
    for side, what in ((USER, "user"), (SESSION, "session"), (QUERY, "query")):
        key = by_name(repeating, side, what)
        if key.event is not None or key.candidates:
            return key
    others = [column for column in repeating if is_id(column.name) and not is_about(column.name, ITEM)]
    if len(others) == 1:
        return Key(others[0].name, None, f"the only other id whose values occur again; {others[0].distinct:,} distinct values")
    names = tuple(column.name for column in others)
    unfit = [column for column in events if column not in repeating and column.can_be_id and _is_id_of(column, USER | SESSION | QUERY)]
    if unfit:
        lack = "all rows have the same" if unfit[0].distinct < 2 else "its values do not come again"
        return Key(None, None, f"{unfit[0].name!r} is called so, but {lack}", (*(column.name for column in unfit), *names))
    return Key(None, None, "no column is called like the id of a user, a session or a query", names)


def _pairs(events: Iterable[Column], table: Sequence[Column], side: frozenset[str]) -> Iterable[_Pair]:
    there = [(column, strings(column.series).drop_nulls().unique()) for column in table if column.can_be_id]
    for event in events:
        if not event.can_be_id:
            continue
        counts = strings(event.series).drop_nulls().value_counts(name="n")
        for column, ids in there:
            name = _agreement(event.name, column.name, side)
            if name is None:
                continue
            named = counts.filter(pl.col(counts.columns[0]).is_in(ids.implode()))
            found, reached = float(named["n"].sum()) / max(1, event.known), len(named) / max(1, len(ids))
            by_values = found >= FOUND_IF_NOT and (reached >= REACHED_IF_NOT or len(named) > MANY)
            if by_values or (name >= NAMED and found >= FOUND_IF_NAMED):
                yield _Pair(event, column, name, found, reached)


def _listed(names: Sequence[str], between: str) -> str:
    """The first few names, and how many there are besides."""
    more = [f"{len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
    return between.join([*map(repr, names[:SHOWN]), *more])


def _agreement(event: str, table: str, side: frozenset[str]) -> int | None:
    """How far two names agree; None where they speak against it."""
    one, other = words(event), words(table)
    against = QUERIES if side is ITEM else ITEM
    if is_about(event, against - side) and not is_about(event, side):
        return None
    if one == other and one != ("id",):
        return SURE
    plain = all(word in PLAIN for word in other)
    if is_about(event, side) and (plain or is_about(table, side)):
        return SURE if is_id(event) and (plain or is_id(table)) else NAMED
    return MAYBE if is_id(event) and is_id(table) else NOTHING


def _is_id_of(column: Column, side: frozenset[str]) -> bool:
    found = words(column.name)
    return is_about(column.name, side) and (is_id(column.name) or len(found) == 1)


def _not_unique(column: Column, where: str) -> str:
    if column.known < column.rows:
        return f"{where}: {column.rows - column.known:,} row(s) have no {column.name!r}; each row needs an id: fill it in or drop the rows"
    ids = strings(column.series)
    rows = (ids == ids.filter(ids.is_duplicated())[0]).arg_true() + 1
    more = column.known - column.distinct
    return (
        f"{where}: {more:,} row(s) repeat the {column.name!r} of an earlier row, the first in rows {rows[0]} and "
        f"{rows[1]}; a table has one row for each id: keep one of them"
    )


def _named(columns: Sequence[Column]) -> str:
    more = [f"and {len(columns) - MOST_NAMED:,} more"] if len(columns) > MOST_NAMED else []
    return ", ".join([*(column.name for column in columns[:MOST_NAMED]), *more])


def _no_key(events: Sequence[Column], table: Sequence[Column], where: str) -> str:
    names = [_named(events), _named(table)]
    return (
        f"no column of the interactions ({names[0]}) holds the ids of {where} ({names[1]}): give both files a column of the same ids, "
        "written alike, preferably of the same name"
    )
