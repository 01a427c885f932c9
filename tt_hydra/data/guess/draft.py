"""The tables together: what each column is, and with it a declaration of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tt_hydra.data.columns import as_weights
from tt_hydra.data.guess import keys, moments, parts
from tt_hydra.data.guess.column import Column, look, strings
from tt_hydra.data.guess.features import Feature, Left
from tt_hydra.data.guess.keys import Key
from tt_hydra.data.guess.moments import Moment
from tt_hydra.data.guess.names import ITEM, QUERY, is_about
from tt_hydra.data.guess.parts import Division, Habits
from tt_hydra.data.guess.roles import Around, Roles, Use, roles
from tt_hydra.data.guess.side import Given, Side, reason_for_id, side_of, with_id, without

HAS_HISTORY = 2.0
"""Events of a query from which there is something before the last one."""
OFTEN = 0.05
"""Share of repeated pairs from which taking an item again is part of what is to be predicted."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the tables seem to mean.

    Attributes:
        path: of the interactions.
        rows: of the interactions.
        query: the query's id; its column is None where each text is a query, or where it must be asked.
        item: the item's id; its column is None where it must be asked.
        moment: when it happened; None where nothing says so.
        other_moments: further columns of times.
        roles: what the other columns of the interactions are for.
        queries: the table of queries.
        items: the table of items.
        searches: whether queries have texts.
        history: whether a query has earlier events to learn from; taken for granted where its id must be asked.
        habits: how often queries come and items are taken again.
        division: the split.
    """

    path: str
    rows: int
    query: Key
    item: Key
    moment: Moment | None
    other_moments: Sequence[Moment]
    roles: Roles
    queries: Side
    items: Side
    searches: bool
    history: bool
    habits: Habits
    division: Division

    @property
    def texts_are_queries(self) -> bool:
        """Whether each distinct text is a query of its own."""
        return self.query.event is None and not self.query.candidates and self.roles.text is not None

    @property
    def asks_query(self) -> bool:
        """Whether the user must say which column is the query's id."""
        return self.query.event is None and not self.texts_are_queries

    @property
    def takes_again(self) -> bool:
        """Whether a query often takes an item that it had before."""
        return self.habits.repeated > OFTEN

    @property
    def only_text(self) -> bool:
        """Whether both towers see nothing but texts."""
        asked = self.roles.text is not None and not self.queries.features
        return self.items.only_text and (asked or self.queries.only_text) and not self.history and not self.roles.context


def draft(interactions: Given, items: Given | None, queries: Given | None) -> Draft:
    """What the tables seem to mean.

    Raises:
        DataError: no columns of two tables hold the same ids, or the ids of a table are not unique.
    """
    events = [look(series) for series in interactions.frame]
    item_columns, query_columns = ([] if given is None else [look(series) for series in given.frame] for given in (items, queries))
    item = keys.by_name(events, ITEM, "item") if items is None else keys.match(events, item_columns, ITEM, items.path)
    rest = [column for column in events if column.name != item.event]
    query = keys.query_by_name(rest) if queries is None else keys.match(rest, query_columns, keys.QUERIES, queries.path)
    rest = [column for column in rest if column.name != query.event]
    item_ids = _column(item_columns, item.table)
    around = Around(_series(events, query.event), _series(events, item.event), None if item_ids is None else strings(item_ids.series))
    times = [moment for moment in moments.find(rest) if moment.column.name not in (*query.candidates, *item.candidates)]
    found = roles([column for column in rest if all(column is not moment.column for moment in times)], around)
    asked = around.query if query.event is not None or found.text is None else _series(events, found.text.column)
    known = _pairs(asked, around.item, interactions.frame.height)
    moment = times[0] if times else None
    named = [query.event, *query.candidates, item.event, *item.candidates, None if moment is None else moment.column.name]
    counted = known.filter(_kept(interactions.frame, [*filter(None, named), *found.compared()], found.weight))
    habits = parts.habits(counted, items.frame.height if items is not None else counted["item"].n_unique())
    has_text = found.text is not None
    people = side_of(queries, query.table, query_columns)
    searches = has_text or (people.has_text and is_about(query.event or "", QUERY))
    by_text = searches and is_about(query.event or "query", QUERY)
    asks = query.event is None and (bool(query.candidates) or not has_text)
    history = asks or (query.event is not None and not by_text and habits.per_query >= HAS_HISTORY)
    taken = {*(["history"] if history else []), *(["text"] if has_text and (asks or query.event is not None) else [])}
    return Draft(
        path=interactions.path,
        rows=interactions.frame.height,
        query=query,
        item=item,
        moment=moment,
        other_moments=times[1:],
        roles=_without_twins(found, people.features, taken),
        queries=_queries(without(people, taken), query, habits.per_query, by_text),
        items=_items(side_of(items, item.table, item_columns, totals=True), item, habits.per_item),
        searches=searches,
        history=history,
        habits=habits,
        division=Division("given", found.split.why) if found.split is not None else parts.divide(known["query"], moment, habits.per_query),
    )


def _queries(side: Side, key: Key, events: float, by_text: bool) -> Side:
    why = None if by_text else reason_for_id(events, not side.features)
    why_not = "a query is known by its text" if by_text else f"only about {events:.3g} events of each, too few to learn each by itself"
    return with_id(side, key.table or key.event, why, why_not)


def _items(side: Side, key: Key, events: float) -> Side:
    why_not = f"only about {events:.3g} events of each, too few to learn each by itself, and a new item has none"
    return with_id(side, key.table or key.event, reason_for_id(events, not side.features), why_not)


def _without_twins(found: Roles, features: Mapping[str, Feature], taken: set[str]) -> Roles:
    for name in [name for name in found.context if name in features or name in taken]:
        found.left[name] = Left("a feature of the queries has this name already: rename the column to use it")
        del found.context[name]
    return found


def _kept(frame: pl.DataFrame, names: Sequence[str], weight: Use | None) -> pl.Series:
    """The rows that reading keeps: each once, by the columns that are read, and none of weight 0."""
    compared = [name for name in names if not frame.schema[name].is_nested()]
    once = frame.select(pl.struct(compared).is_first_distinct()).to_series() if compared else pl.repeat(True, len(frame), eager=True)
    return once if weight is None else once & (as_weights(frame[weight.column], weight.column) > 0)


def _pairs(query: pl.Series | None, item: pl.Series | None, rows: int) -> pl.DataFrame:
    nothing = pl.Series([None] * rows, dtype=pl.String)
    found = [nothing if series is None else strings(series) for series in (query, item)]
    return pl.DataFrame({"query": found[0], "item": found[1]})


def _column(columns: Sequence[Column], name: str | None) -> Column | None:
    return next((column for column in columns if column.name == name), None)


def _series(columns: Sequence[Column], name: str | None) -> pl.Series | None:
    found = _column(columns, name)
    return None if found is None else found.series
