"""A prepared data set: immutable, memory-mapped, columnar. Every method gathers many rows at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from tt_hydra.contracts import Features, FloatArray, IntArray, Ragged, Schema, Side, Split, Tokenizer, TrainingView
from tt_hydra.data.catalogue import AsOf, Catalogue
from tt_hydra.data.encoded import EncodedTable, load_array, load_ragged
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.data.history import Others, Timeline
from tt_hydra.data.parts import EvalPart, TrainPart
from tt_hydra.data.records import raw_records
from tt_hydra.data.schema import HISTORY, TEXT
from tt_hydra.data.statistics import EventTimes, raw
from tt_hydra.data.training import training_view
from tt_hydra.errors import DataError

TIMELINES: Mapping[Split, str] = {"train": "valid", "valid": "valid", "test": "test"}
LATEST = "end"


@dataclass(frozen=True)
class Dataset:
    """A folder that ``prepare`` wrote. Cheap to send to another process: it is opened again there.

    Attributes:
        folder: where it lies.
        featurizer: what was fitted on the training part.
        catalogue: the items.
        query_table: encoded features of the queries.
        context_table: encoded features of the events, one row an event; the last row is of a query without event.
    """

    folder: Path
    featurizer: Featurizer
    catalogue: Catalogue
    query_table: EncodedTable
    context_table: EncodedTable

    @staticmethod
    def load(folder: Path) -> Dataset:
        """Opens a prepared folder; arrays are mapped, not read."""
        return _open(folder, {})

    def __reduce__(self) -> tuple[Any, ...]:
        tables = {"items": self.catalogue.table, "queries": self.query_table, "context": self.context_table}
        return _open, (self.folder, {name: table.tokens for name, table in tables.items()})

    def tokenized(self, tokenizers: Mapping[Side, Tokenizer]) -> Dataset:
        """The same with every text as token ids; needed before rows of a side with texts are gathered. Others need no tokenizer."""
        tables: dict[str, Any] = {}
        if "item" in tokenizers:
            tables["catalogue"] = self.catalogue.tokenized(tokenizers["item"], "item")
        if "query" in tokenizers:
            tables["query_table"] = self.query_table.tokenized(tokenizers["query"], "query")
            tables["context_table"] = self.context_table.tokenized(tokenizers["query"], "query")
        return replace(self, **tables)

    @property
    def schema(self) -> Schema:
        """The resolved features of both sides."""
        return self.featurizer.schema

    @property
    def item_ids(self) -> pl.Series:
        """Item ids by row."""
        return self.catalogue.ids

    @cached_property
    def query_ids(self) -> pl.Series:
        """Query ids by row."""
        return pl.read_parquet(self.folder / "queries" / "ids.parquet")["id"]

    @cached_property
    def display(self) -> pl.DataFrame:
        """Every column of the items table as the source gave it, by row."""
        return pl.read_parquet(self.folder / "items" / "raw.parquet")

    @property
    def display_column(self) -> str | None:
        """The column of ``display`` to print as a title."""
        column: str | None = self._about["display"]
        return column

    @property
    def num_queries(self) -> int:
        """Number of queries."""
        return self.query_table.size

    @property
    def num_items(self) -> int:
        """Number of items."""
        return self.catalogue.table.size

    @property
    def time_dependent_items(self) -> bool:
        """Whether an item's features depend on the moment: statistics are declared."""
        return bool(self.featurizer.scales)

    @property
    def has_neighbors(self) -> bool:
        """Whether items that the same queries took are a feature of an item."""
        return bool(self._about.get("neighbors", 0))

    @cached_property
    def counts(self) -> FloatArray:
        """``(num_items,)`` number of each item's training events."""
        return load_array(self.folder / "counts.npy")

    @cached_property
    def known(self) -> Ragged:
        """By query row its positives in the training part: item rows, sorted, distinct."""
        return load_ragged(self.folder, "known")

    def taken(self) -> Ragged:
        """By query row all items of its events, of whatever part: item rows, sorted, distinct."""
        pairs = np.unique(self.events["query"] * self.num_items + self.events["item"])
        offsets = np.searchsorted(pairs, np.arange(self.num_queries + 1) * self.num_items)
        return Ragged((pairs % self.num_items).astype(np.int32), offsets)

    @cached_property
    def vectors(self) -> tuple[FloatArray, FloatArray] | None:
        """Ready-made item and query vectors of the source ``vectors``, memory-mapped, or None."""
        if not (self.folder / "item_vectors.npy").exists():
            return None
        return load_array(self.folder / "item_vectors.npy"), load_array(self.folder / "query_vectors.npy")

    @property
    def split(self) -> str:
        """How the parts were made: ``leave_last_out``, ``temporal``, ``random`` or ``given``."""
        return str(self._about["split"])

    @property
    def begin(self) -> dict[AsOf, int]:
        """The moment at which statistics of the items stand for each evaluated part."""
        return {"valid": self._about["begin"]["valid"], "test": self._about["begin"]["test"]}

    @cached_property
    def events(self) -> dict[str, IntArray]:
        """Every interaction, sorted by query, time and source row: query, item, time, row, part; and the offsets by query."""
        return {name: load_array(self.folder / "events" / f"{name}.npy") for name in ("query", "item", "time", "row", "part", "offsets")}

    @cached_property
    def event_texts(self) -> pl.Series | None:
        """The query text of each event, or None where events carry no text of their own."""
        return self.context_table.texts(TEXT)[:-1] if self._about.get("event_texts") else None

    @cached_property
    def train(self) -> TrainPart:
        """The training pairs, by query and time."""
        folder = self.folder / "train"
        positions = load_array(folder / "positions.npy")
        negatives = load_ragged(folder, "negatives") if (folder / "negatives.offsets.npy").exists() else None
        weights = load_array(folder / "weights.npy")
        queries, items, times = (self.events[name][positions] for name in ("query", "item", "time"))
        labels = {name: load_array(folder / f"label{number}.npy") for number, name in enumerate(self._about.get("labels", ()))}
        scores = [load_array(path) if (path := folder / f"{name}.npy").exists() else None for name in ("teacher", "negatives_teacher")]
        return TrainPart(queries, items, weights, times, positions, negatives, labels, *scores)

    def eval_part(self, part: Split) -> EvalPart:
        """The examples of the validation or the test part."""
        folder = self.folder / part
        positions = load_array(folder / "positions.npy")
        relevant, gains, seen = (load_ragged(folder, name) for name in ("relevant", "gains", "seen"))
        return EvalPart(self.events["query"][positions], relevant, gains, seen, positions)

    def training_view(self) -> TrainingView:
        """What a sampler may know of the training part, made once; texts are read when they are asked for."""
        return self._training_view

    @cached_property
    def _training_view(self) -> TrainingView:
        return training_view(self)

    def require_training_pairs(self) -> None:
        """Raises DataError if there is nothing to train on."""
        if not len(self.train):
            raise DataError(
                "no training pair: every interaction is in the validation or the test part, or was dropped "
                f"({self.told_counts()}); give training interactions, or set train.max_epochs=0 to evaluate the untrained model"
            )

    def log_counts(self) -> dict[str, int]:
        """What was read, dropped, missing and unknown, for the log."""
        return dict(self._about["counts"])

    def told_counts(self) -> str:
        """The same in a line."""
        return ", ".join(f"{name} {count:,}" for name, count in self.log_counts().items())

    def items(self, rows: IntArray, at: IntArray | None = None, *, as_of: AsOf = "valid") -> Features:
        """Features of items.

        Statistics count the events before a moment: ``at``, or else the beginning of the part ``as_of``. Where a part has no one
        beginning (leave-last-out, random) it is the end of what the part may look back on: the training events for ``valid``, the
        training and validation events for ``test``. The default is safe for both.

        Args:
            rows: ``(n,)`` item rows.
            at: ``(n,)`` times, as in ``TrainPart.times``.
            as_of: the part, where ``at`` is None.
        """
        if at is None or not self.time_dependent_items:
            return self.catalogue.features(rows, as_of=as_of)
        return self.catalogue.features(rows, raw([scale.name for scale in self.featurizer.scales], self.event_times, rows, at))

    def item_keys(self, rows: IntArray, at: IntArray) -> IntArray:
        """Numbers that are equal for two items at two moments only if their features are: the row where time plays no part."""
        return self.event_times.key(rows, at) if self.time_dependent_items else rows

    @cached_property
    def event_times(self) -> EventTimes:
        """All events by item and time; only where statistics are declared."""
        return EventTimes(load_array(self.folder / "events" / "time_keys.npy"), load_array(self.folder / "events" / "distinct_times.npy"))

    def queries(self, part: Split, index: IntArray) -> Features:
        """Features of the queries of some examples, as they stand just before the example.

        Args:
            part: which part the examples are of.
            index: ``(n,)`` numbers of examples in ``train`` or ``eval_part(part)``.
        """
        positions = self._positions[part][index]
        rows = self.events["query"][positions]
        if part == "train" and not self.ordered:
            return self._query_features(rows, positions, self.others.items, self.others.of(index, self.featurizer.history))
        return self._query_features(rows, positions, *self._looked_back(part, rows, positions))

    def last_queries(self, rows: IntArray) -> Features:
        """Features of queries that come after everything in the data: last known context, whole history (newest part of it)."""
        timeline = self.timeline(LATEST)
        return self._query_features(rows, self._last_positions(rows), timeline.items, timeline.latest(rows, self.featurizer.history))

    def query_records(self, rows: IntArray) -> pl.DataFrame:
        """What ``last_queries`` encodes, raw, as ``featurizer.encode_queries`` takes it: id, features, context, history of item ids."""
        timeline = self.timeline(LATEST)
        ranges = timeline.latest(rows, self.featurizer.history)
        return raw_records(self, rows, self._last_positions(rows), timeline.items, ranges)

    def example_records(self, part: Literal["valid", "test"], index: IntArray) -> pl.DataFrame:
        """The same of what ``queries`` encodes of some examples of an evaluated part."""
        positions = self._positions[part][index]
        rows = self.events["query"][positions]
        return raw_records(self, rows, positions, *self._looked_back(part, rows, positions))

    def timeline(self, name: str) -> Timeline:
        """What may be looked back on by validation and training (``valid``), by ``test``, or after everything (``end``)."""
        return self._timelines[name]

    @property
    def ordered(self) -> bool:
        """Whether a history is what came before; else it is all other items of the query, those of the training part for training."""
        return bool(self._about.get("ordered", True))

    @cached_property
    def others(self) -> Others:
        """The histories of the training examples, where interactions have no order."""
        return Others.load(self.folder / "timeline" / "others")

    def _query_features(self, rows: IntArray, positions: IntArray, items: IntArray, ranges: tuple[IntArray, IntArray]) -> Features:
        values: dict[str, Any] = {**self.query_table.gather(rows), **self.context_table.gather(positions)}
        if self.featurizer.history:
            values[HISTORY] = self.catalogue.history(items, *ranges)
        return Features(len(rows), values, torch.from_numpy(rows))

    def _looked_back(self, part: Split, rows: IntArray, positions: IntArray) -> tuple[IntArray, tuple[IntArray, IntArray]]:
        """The items that histories of a part are ranges of, and those ranges."""
        timeline, most = self.timeline(TIMELINES[part]), self.featurizer.history
        return timeline.items, timeline.before(rows, positions, most) if self.ordered else timeline.latest(rows, most)

    def _last_positions(self, rows: IntArray) -> IntArray:
        offsets = self.events["offsets"]
        stops = offsets[rows + 1]
        return np.where(stops > offsets[rows], stops - 1, self.context_table.size - 1)

    @cached_property
    def _positions(self) -> dict[Split, IntArray]:
        parts: tuple[Split, ...] = ("train", "valid", "test")
        return {part: load_array(self.folder / part / "positions.npy") for part in parts}

    @cached_property
    def _timelines(self) -> dict[str, Timeline]:
        return {name: Timeline.load(self.folder / "timeline" / name) for name in ("valid", "test", LATEST)}

    @cached_property
    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        return about


def _open(folder: Path, tokens: Mapping[str, Mapping[str, Ragged]]) -> Dataset:
    featurizer = Featurizer.from_json((folder / "featurizer.json").read_text(encoding="utf-8"))
    return Dataset(
        folder,
        featurizer,
        Catalogue.load(folder / "items", featurizer.scales, tokens.get("items")),
        EncodedTable.load(folder / "queries" / "table", tokens.get("queries")),
        EncodedTable.load(folder / "context" / "table", tokens.get("context")),
    )
