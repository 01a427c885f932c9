"""The table of interactions of a declared source: its config node, and its rows as events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

from tt_hydra.data.columns import as_ids, as_labels, as_lists, as_parts, as_scores, as_text, as_weights, with_features
from tt_hydra.data.declaration import Features, FeatureSpec, check_choice, parse_features
from tt_hydra.data.events import drop_missing
from tt_hydra.data.reading import DataFile, read_files
from tt_hydra.data.times import GivenUnit, Times, read_times
from tt_hydra.errors import ConfigError

Repeats = Literal["keep", "first", "learn"]
RESERVED = ("query", "item", "time", "text", "weight", "split", "negatives", "teacher", "negatives_teacher", "id", "row")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interactions:
    """The table of interactions: one row is one event, in which a query found an item.

    Attributes:
        path: file, or folder of files of one format; relative to the working directory.
        query: column of the query's (user's, session's) id. None: each distinct ``text`` is a query.
        item: column of the item's id.
        time: column of the event's time. None: the order of the rows is the order of the events.
        time_unit: unit of a numeric time: s, ms, us or ns since 1970, ``step`` (it only orders), or ``auto``, by the size of the numbers.
        text: column of the event's own query text.
        weight: column of the event's weight, at least 0; rows with 0 are dropped.
        split: column that says train, valid or test, for ``split.kind=given``.
        impressions: column of the ids of items that were shown at the event, as a list or in one cell; those that the query did not
            take are the event's given negatives.
        impressions_sep: what separates the ids of a cell that is a string.
        labels: numeric columns that say what came of the event (a rating), for losses that learn from them; no feature of any tower.
        teacher: column of a teacher's score of the pair, for losses that learn from it.
        repeats: ``first`` keeps a query's first event with an item alone: what is predicted then is never something that it had before.
            ``learn`` keeps them all for training and histories, and lets validation and test ask only for what a query did not have before.
        context: features of the event, by column.
    """

    path: str | None = None
    query: str | None = "user_id"
    item: str = "item_id"
    time: str | None = None
    time_unit: GivenUnit = "auto"
    text: str | None = None
    weight: str | None = None
    split: str | None = None
    impressions: str | None = None
    impressions_sep: str = "|"
    labels: tuple[str, ...] = ()
    teacher: str | None = None
    repeats: Repeats = "keep"
    context: Features | None = None

    def __post_init__(self) -> None:
        check_choice("time_unit", self.time_unit, get_args(GivenUnit))
        check_choice("repeats", self.repeats, get_args(Repeats))
        if self.query is None and self.text is None:
            raise ConfigError("neither query nor text is set: name the column of the query's id, or of its text, or both")
        if not self.impressions_sep:
            raise ConfigError("impressions_sep is empty: one or more characters that separate the ids of a cell, such as '|'")
        object.__setattr__(self, "labels", tuple(self.labels or ()))
        for name, spec in self.features().items():
            if name == self.item:
                raise ConfigError(f"context.{name} names the item of the event, which is what the query is to find; leave it out")
            if name in RESERVED and not (name == self.time == "time" and spec.kind == "time"):
                raise ConfigError(f"context.{name}: a context column cannot be called {name}, which has a meaning of its own; rename it")
        for name in self.labels:
            if name in RESERVED and not name == self.weight == "weight":
                raise ConfigError(f"labels: a label cannot be called {name}, which has a meaning of its own; rename the column")

    def features(self) -> dict[str, FeatureSpec]:
        """The declared features of the event."""
        return parse_features(self.context, "context")

    def columns(self) -> list[str]:
        """The columns of the file that are read, each once."""
        named = [self.query, self.item, self.time, self.text, self.weight, self.split, self.impressions, self.teacher]
        named += [*self.labels, *self.features()]
        return list(dict.fromkeys(name for name in named if name is not None))


def read_events(node: Interactions, files: Sequence[DataFile], counts: Counter[str]) -> tuple[pl.DataFrame, Times | None]:
    """The events, in the order of the rows, and their times.

    The columns are those of ``Tables.interactions``; ``query`` is absent where the text is the query. Rows without an id or a time
    are dropped and counted.

    Raises:
        DataError: a column is missing or of the wrong type, or a line cannot be parsed.
    """
    frame = read_files(files, node.columns())
    name = node.path if len(files) > 1 else files[0].name

    def cells(column: str) -> tuple[pl.Series, str]:
        return frame[column], f"{name}, column {column!r}"

    times = None if node.time is None else read_times(frame[node.time], node.time_unit, f"{name}, column {node.time!r}")
    made = {
        "query": None if node.query is None else as_ids(*cells(node.query)),
        "item": as_ids(*cells(node.item)),
        "time": None if times is None else times.values,
        "text": None if node.text is None else as_text(*cells(node.text)).fill_null(""),
        "weight": None if node.weight is None else as_weights(*cells(node.weight)),
        "split": None if node.split is None else as_parts(*cells(node.split)),
        "negatives": None if node.impressions is None else as_lists(*cells(node.impressions), node.impressions_sep),
        "teacher": None if node.teacher is None else as_scores(*cells(node.teacher)),
    }
    made |= {label: as_labels(*cells(label)) for label in node.labels if label not in made}
    own = {column: spec for column, spec in node.features().items() if column not in made}
    context = with_features(frame.select(list(own)), own, str(name))
    known = [column.alias(key) for key, column in made.items() if column is not None]
    events = pl.DataFrame(known).with_columns(context.get_columns())
    needed = tuple(key for key in ("query", "item", "time") if key in events.columns)
    return drop_missing(events, needed, counts), times
