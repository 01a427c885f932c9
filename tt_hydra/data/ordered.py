"""The interactions as row numbers instead of ids, sorted by query, time and source row, each with its part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Ragged
from tt_hydra.data.encoders import Text
from tt_hydra.data.schema import TEXT
from tt_hydra.data.splits import TRAIN, HoldOut, Parts, assign, only_new
from tt_hydra.data.tables import Tables
from tt_hydra.errors import DataError


@dataclass(frozen=True)
class Events:
    """Every kept interaction.

    Attributes:
        frame: the source's columns, sorted by query, time and source row.
        queries: ``(events,)`` query rows.
        items: ``(events,)`` item rows.
        times: ``(events,)`` times; the source row where the data has no time.
        rows: ``(events,)`` source rows.
        weights: ``(events,)`` float32.
        offsets: ``(queries + 1,)`` where each query's events begin.
        parts: ``(events,)`` part of each.
        texts: the query text of each, empty where missing; None where the query is the same in all its events.
    """

    frame: pl.DataFrame
    queries: IntArray
    items: IntArray
    times: IntArray
    rows: IntArray
    weights: FloatArray
    offsets: IntArray
    parts: Parts
    texts: pl.Series | None

    def __len__(self) -> int:
        return len(self.queries)

    def of(self, part: int) -> IntArray:
        """Positions of a part's events."""
        return np.flatnonzero(self.parts == part)

    def among(self, parts: Iterable[int]) -> BoolArray:
        """``(events,)`` whether each event is in one of the parts."""
        return np.isin(self.parts, list(parts))


def read_events(tables: Tables, hold_out: HoldOut, counts: dict[str, int]) -> Events:
    """The interactions of a source as events.

    Args:
        tables: the source.
        hold_out: how validation queries are drawn where the split leaves none.
        counts: receives what was dropped.

    Raises:
        DataError: an id is missing or occurs twice in the queries or items table, or the split cannot be made.
    """
    frame = _kept(_numbered(tables, counts), counts)
    frame = frame.sort([name for name in ("query", "time", "row") if name in frame.columns])
    queries, items, rows = (frame[name].to_numpy().astype(np.int64) for name in ("query", "item", "row"))
    offsets = np.searchsorted(queries, np.arange(len(tables.queries) + 1))
    parts = assign(frame, offsets, tables.declaration.split, hold_out)
    return Events(
        frame=frame,
        queries=queries,
        items=items,
        times=frame["time"].to_numpy().astype(np.int64) if "time" in frame.columns else rows,
        rows=rows,
        weights=frame["weight"].to_numpy().astype(np.float32) if "weight" in frame.columns else np.ones(len(frame), np.float32),
        offsets=offsets,
        parts=only_new(parts, frame) if tables.declaration.only_new else parts,
        texts=Text(name=TEXT).texts(frame[TEXT]) if tables.declaration.text else None,
    )


def _numbered(tables: Tables, counts: dict[str, int]) -> pl.DataFrame:
    frame = tables.interactions.with_row_index("row")
    for name, table in (("query", tables.queries), ("item", tables.items)):
        numbers = _row_numbers(table, name)
        found = frame.rename({name: "id"}).join(numbers, on="id", how="left", maintain_order="left").drop("id")
        frame = _drop(found, pl.col(name).is_null(), f"interactions dropped: unknown {name}", counts)
    return frame


def _row_numbers(table: pl.DataFrame, name: str) -> pl.DataFrame:
    ids = table.select(pl.col("id").cast(pl.String)).with_row_index(name)
    bad = ids.filter(pl.col("id").is_null() | pl.col("id").is_duplicated())
    if len(bad):
        raise DataError(f"{name} table, row {bad[name][0] + 1}: id {bad['id'][0]!r} is missing or occurs again; each id stands once")
    return ids


def _kept(frame: pl.DataFrame, counts: dict[str, int]) -> pl.DataFrame:
    if "time" in frame.columns:
        frame = _drop(frame, pl.col("time").is_null(), "interactions dropped: no time", counts)
    if "weight" in frame.columns:
        frame = frame.with_columns(pl.col("weight").fill_nan(None).fill_null(1.0))
        frame = _drop(frame, pl.col("weight") <= 0, "interactions dropped: weight not above zero", counts)
    identity = [pl.col(name) for name in frame.columns if name not in ("row", "negatives", "negatives_teacher")]
    if "negatives" in frame.columns:
        identity.append(pl.col("negatives").list.join("\x1f").alias("negatives"))
    return _drop(frame, ~pl.struct(identity).is_first_distinct(), "interactions dropped: duplicate row", counts)


def _drop(frame: pl.DataFrame, condition: pl.Expr, reason: str, counts: dict[str, int]) -> pl.DataFrame:
    kept = frame.filter(~condition)
    if len(kept) < len(frame):
        counts[reason] = counts.get(reason, 0) + len(frame) - len(kept)
    return kept


def grouped(keys: IntArray, values: Mapping[str, npt.NDArray[Any]], wanted: IntArray) -> dict[str, Ragged]:
    """Values as one row for each wanted key.

    Args:
        keys: ``(n,)`` key of each value, ascending.
        values: arrays ``(n,)`` by name.
        wanted: ``(m,)`` keys.
    """
    starts = np.searchsorted(keys, wanted)
    lengths = np.searchsorted(keys, wanted, side="right") - starts
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    take = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return {name: Ragged(array[take], offsets) for name, array in values.items()}


def distinct_pairs(events: Events, chosen: BoolArray, owners: IntArray | None = None) -> tuple[IntArray, IntArray, FloatArray]:
    """Distinct (owner, item) pairs of the chosen events, sorted, with the greatest weight of each.

    Args:
        events: every event.
        chosen: ``(events,)`` which of them.
        owners: whom each chosen event belongs to; None: its query.

    Returns:
        Owners, item rows and weights, ``(pairs,)`` each.
    """
    owners = events.queries[chosen] if owners is None else owners
    frame = pl.DataFrame({"owner": owners, "item": events.items[chosen], "weight": events.weights[chosen]})
    pairs = frame.group_by("owner", "item").agg(pl.col("weight").max()).sort("owner", "item")
    return pairs["owner"].to_numpy(), pairs["item"].to_numpy(), pairs["weight"].to_numpy()


def examples(events: Events, part: int) -> IntArray:
    """The example that each event of an evaluated part is an answer to: one for a query or, where events carry texts, for each text.

    Judged together, the answers to another text of the same query would count as hits of this one.

    Returns:
        ``(part's events,)`` position of the example's first event.
    """
    positions = events.of(part)
    asked = {"query": events.queries[positions]}
    if events.texts is not None:
        asked |= {TEXT: events.texts.gather(positions).rank("dense").to_numpy()}
    return pl.DataFrame({"position": positions, **asked}).select(pl.col("position").min().over(list(asked)))["position"].to_numpy()


def popularity(events: Events, num_items: int) -> FloatArray:
    """``(num_items,)`` number of each item's training events, by which batches hold it: they draw each event alike, whatever it weighs."""
    return np.bincount(events.items[events.of(TRAIN)], minlength=num_items).astype(np.float32)
