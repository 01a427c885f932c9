"""Your own tables: interactions, and optionally queries and items, in Parquet, CSV, TSV or JSON lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from tt_hydra.data.content import fingerprint, hash_file
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec, check_share, check_statistics, coerce
from tt_hydra.data.entity_table import Entities, display_column, entities_of, read_entities
from tt_hydra.data.event_table import Interactions, read_events
from tt_hydra.data.events import drop_duplicates, drop_repeats, drop_unknown, drop_weightless, require_events, told
from tt_hydra.data.reading import DataFile, find_files
from tt_hydra.data.tables import Tables
from tt_hydra.data.texts import TEXT_FEATURE, drop_empty, ids_of, number_texts
from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Interactions, queries and items from files, declared column by column.

    Attributes:
        path: folder that the files' own paths are relative to; None for the working directory.
        interactions: the events.
        queries: what is known of each query; None for nothing but its id.
        items: what is known of each item; None for nothing but its id.
        history: a query's earlier items as a feature; None for none.
        statistics: item statistics over earlier events, such as ``count`` and ``rate_7d``.
        neighbors: how many of the items that the same queries took are a feature of an item; 0 for none.
        split: how the parts are made.
        valid_share: share of the training queries that are held out where ``split`` gives no validation part (given, temporal).
    """

    path: str | None = None
    interactions: Interactions = field(default_factory=Interactions)
    queries: Entities | None = field(default_factory=Entities)
    items: Entities | None = field(default_factory=Entities)
    history: HistorySpec | None = field(default_factory=HistorySpec)
    statistics: tuple[str, ...] = ()
    neighbors: int = 0
    split: SplitSpec = field(default_factory=SplitSpec)
    valid_share: float = 0.1

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "interactions", coerce(Interactions, self.interactions, "data.interactions"))
        put(self, "queries", None if self.queries is None else coerce(Entities, self.queries, "data.queries"))
        put(self, "items", None if self.items is None else coerce(Entities, self.items, "data.items"))
        put(self, "history", None if self.history is None else coerce(HistorySpec, self.history, "data.history"))
        put(self, "split", coerce(SplitSpec, self.split, "data.split"))
        put(self, "statistics", check_statistics(self.statistics))
        check_share("data.valid_share", self.valid_share)
        self._check_times()
        self.declaration()

    def declaration(self) -> Declaration:
        """What the columns mean.

        Raises:
            ConfigError: features that contradict each other or cannot be there.
        """
        held_out = self.split.kind in ("given", "temporal")
        queries, context = self._query_features(), self.interactions.features()
        items = (self.items or Entities()).declared("items", self._id_column("items"))
        if not items or not (queries or context or self.history or self.interactions.text):
            side = "queries" if items else "items"
            raise ConfigError(f"data.{side}.features declares none: a tower needs at least one feature, such as the id")
        return Declaration(
            queries=queries,
            items=items,
            context=context,
            history=self.history,
            statistics=self.statistics,
            neighbors=self.neighbors,
            split=replace(self.split, valid=self.valid_share) if held_out else self.split,
            text=self.interactions.text is not None and self.interactions.query is not None,
            labels=self.interactions.labels,
            only_new=self.interactions.repeats == "learn",
        )

    def fingerprint(self) -> str:
        """Hash of the contents of the files and of the arguments."""
        return fingerprint(self, [(role, hash_file(file.path)) for role, files in self._files().items() for file in files])

    def read(self) -> Tables:
        """The tables, checked.

        Raises:
            DataError: a file is missing or malformed, or does not hold what is declared.
        """
        counts: Counter[str] = Counter()
        files, declaration = self._files(), self.declaration()
        events, times = read_events(self.interactions, files["interactions"], counts)
        require_events(events, files["interactions"][0].name, counts)
        if self.interactions.query is None:
            queries, events = _text_queries(events, counts)
        else:
            queries = self._entities("queries", files, events["query"], declaration.queries)
        items = self._entities("items", files, _named(events), declaration.items)
        events = drop_unknown(events, "query", queries["id"], "data.queries", counts)
        events = drop_unknown(events, "item", items["id"], "data.items", counts)
        events = drop_weightless(drop_duplicates(events, counts), counts, self.interactions.labels)
        events = drop_repeats(events, counts) if self.interactions.repeats == "first" else events
        require_events(events, files["interactions"][0].name, counts)
        return Tables(
            queries=queries,
            items=items,
            interactions=events,
            declaration=declaration if times is None else replace(declaration, split=times.resolve(declaration.split)),
            counts=told(counts),
            fingerprint=self.fingerprint(),
            display=display_column(items, declaration.items),
            time_unit="step" if times is None else times.unit,
        )

    def _files(self) -> dict[str, list[DataFile]]:
        files = {"interactions": find_files(self._located(self.interactions.path), "data.interactions.path")}
        for side, node in (("queries", self.queries), ("items", self.items)):
            if node is not None and node.path is not None:
                files[side] = find_files(self._located(node.path), f"data.{side}.path")
        return files

    def _located(self, path: str | None) -> str | None:
        return path if path is None or self.path is None else str(Path(self.path).expanduser() / Path(path).expanduser())

    def _id_column(self, side: str) -> str:
        node, own = (self.queries, self.interactions.query) if side == "queries" else (self.items, self.interactions.item)
        return (node.id if node is not None else None) or own or "id"

    def _entities(self, side: str, files: dict[str, list[DataFile]], ids: pl.Series, features: dict[str, FeatureSpec]) -> pl.DataFrame:
        column = self._id_column(side)
        return read_entities(files[side], column, features) if side in files else entities_of(ids, column)

    def _query_features(self) -> dict[str, FeatureSpec]:
        node = self.queries or Entities()
        if self.interactions.query is None:
            if node != Entities():
                raise ConfigError("data.queries is set, but data.interactions.query is not: without an id each text is a query of its own")
            return dict(TEXT_FEATURE)
        if self.interactions.text is not None and node.features is None:
            return {}
        return node.declared("queries", self._id_column("queries"))

    def _check_times(self) -> None:
        needed = [name for name in self.statistics if name != "count"] if self.interactions.time is None else []
        if self.split.kind == "temporal" and self.interactions.time is None:
            needed.append("split.kind=temporal")
        if needed:
            raise ConfigError(f"{needed[0]} needs a time for each interaction: name its column in data.interactions.time")
        if (self.split.kind == "given") != (self.interactions.split is not None):
            raise ConfigError(
                f"data.split.kind={self.split.kind} and data.interactions.split={self.interactions.split}: the column that names the "
                "parts is read with split.kind=given, and only then"
            )


def _named(events: pl.DataFrame) -> pl.Series:
    """The items that events name: those that were taken, then those that were shown."""
    shown = events["negatives"].explode().drop_nulls() if "negatives" in events.columns else events["item"].clear()
    return pl.concat([events["item"], shown.alias("item")])


def _text_queries(events: pl.DataFrame, counts: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    events = drop_empty(events, "text", "interactions with an empty text", counts)
    queries = number_texts(events["text"], "q")
    return queries, events.with_columns(ids_of(events["text"], queries).alias("query")).drop("text")
