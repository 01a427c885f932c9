"""Turns a source's tables into a data set on disk: split, fitted on the training part, encoded, checked for leaks.

Layout of the folder: ``items/`` and ``queries/`` (ids, encoded table, raw columns), ``context/`` (one row an event and one without),
``events/`` (every interaction in order), ``timeline/`` (what each part may look back on), ``train/ valid/ test/``, ``known``,
``counts``, ``featurizer.json``, ``about.json``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.contracts import BoolArray, IntArray
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import FeatureSpec, SplitSpec
from tt_hydra.data.encoded import Column, EncodedTable, save_column
from tt_hydra.data.encoders import Encoder, Text, fit_encoder
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.data.given import given_negatives
from tt_hydra.data.history import Others, Timeline
from tt_hydra.data.leaks import check_leaks
from tt_hydra.data.neighbors import NEIGHBORS, neighbors, neighbors_column
from tt_hydra.data.ordered import Events, distinct_pairs, examples, grouped, popularity, read_events
from tt_hydra.data.schema import Declared, declared
from tt_hydra.data.splits import PARTS, PAST, TEST, TEST_AGAIN, TRAIN, VALID, VALID_AGAIN, HoldOut
from tt_hydra.data.statistics import EventTimes, Scale, fit_scales, raw
from tt_hydra.data.tables import Tables
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

VISIBLE = {
    "valid": (PAST, TRAIN),
    "test": (PAST, TRAIN, VALID, VALID_AGAIN),
    "end": (PAST, TRAIN, VALID, VALID_AGAIN, TEST, TEST_AGAIN),
}
"""Parts that may be looked back on: by training and validation examples, by test examples, and by a query that comes after all."""


FITTED = (PAST, TRAIN)
"""Parts that vocabularies and normalisers may know."""


def prepare(tables: Tables, *, valid_share: float | None = None, seed: int = 0, folder: Path) -> None:
    """Writes the data set of a source into a folder.

    Args:
        tables: the source, read.
        valid_share: share of the training queries held out where the split has no validation part; None: the declaration's.
        seed: of the random split and of the held out queries.
        folder: where to; made if missing. What an earlier, interrupted call with the same arguments left there is overwritten.

    Raises:
        DataError: the declaration asks for what the tables do not hold, an id occurs twice, or a leak was found.
    """
    features = declared(tables)
    if not len(tables.items) or not len(tables.queries):
        raise DataError(f"nothing to retrieve: {len(tables.items)} items, {len(tables.queries)} queries; both tables need rows")
    counts = dict(tables.counts)
    share = tables.declaration.split.valid if valid_share is None else valid_share
    history = tables.declaration.history
    ordered = history is None or history.ordered
    whole = history is None and not features.context and all(spec.kind == "text" for spec in features.queries.values())
    new = tables.declaration.only_new
    hold_out = HoldOut(share=share, last_only=history is not None, seed=seed, ordered=ordered, whole=whole, only_new=new)
    events = read_events(tables, hold_out, counts)
    if tables.declaration.neighbors:
        tables, features = _with_neighbors(tables, features, events)
    folder.mkdir(parents=True, exist_ok=True)
    _write_events(folder, events)
    _write_timelines(folder / "timeline", events, None if ordered else seed)
    _write_parts(folder, events, tables, counts)
    scales = _write_statistics(folder, events, tables)
    featurizer = _fit(tables, features, events, scales)
    (folder / "featurizer.json").write_text(featurizer.to_json(), encoding="utf-8")
    _write_tables(folder, tables, events, featurizer, counts)
    _count(events, tables, counts)
    begin = {part: _begin(part, events, tables.declaration.split) for part in ("valid", "test")}
    about: dict[str, object] = {"counts": counts, "display": tables.display, "split": tables.declaration.split.kind, "begin": begin}
    about |= {"event_texts": True} if tables.declaration.text else {}
    about |= {"labels": tables.declaration.labels, "ordered": ordered, "neighbors": tables.declaration.neighbors}
    (folder / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    check_leaks(Dataset.load(folder))
    log.info("data set: %s", ", ".join(f"{name} {number:,}" for name, number in counts.items()))


def _with_neighbors(tables: Tables, features: Declared, events: Events) -> tuple[Tables, Declared]:
    """The items with their neighbours in the training part as one more column and feature."""
    if NEIGHBORS in tables.items.columns:
        raise DataError(f"items: the column {NEIGHBORS!r} has the name of the feature that data.neighbors adds: rename the column")
    queries, items, _ = distinct_pairs(events, events.among(FITTED))
    near = neighbors(queries, items, len(tables.items), tables.declaration.neighbors)
    column = neighbors_column(near, tables.items["id"].cast(pl.String))
    described = {**features.items, NEIGHBORS: FeatureSpec(kind="multi")}
    return replace(tables, items=tables.items.with_columns(column)), replace(features, items=described)


def _write_events(folder: Path, events: Events) -> None:
    _save(folder / "events", query=events.queries, item=events.items, time=events.times, row=events.rows, part=events.parts)
    np.save(folder / "events" / "offsets.npy", events.offsets)


def _write_timelines(folder: Path, events: Events, seed: int | None) -> None:
    """What each part may look back on; with a seed, as sets without order."""
    for name, parts in VISIBLE.items():
        visible = events.among(parts)
        if seed is None:
            Timeline.build(events.items, visible, events.offsets).save(folder / name)
        else:
            Timeline.unordered(events.items, visible, events.offsets, seed).save(folder / name)
    if seed is not None:
        training = events.of(TRAIN)
        Others.build(Timeline.load(folder / "valid"), events.queries[training], events.items[training]).save(folder / "others")


def _save(folder: Path, **columns: Column) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in columns.items():
        save_column(folder, name, column)


def _write_parts(folder: Path, events: Events, tables: Tables, counts: dict[str, int]) -> None:
    training = events.of(TRAIN)
    frame = events.frame[training]
    _save(folder / "train", positions=training, weights=events.weights[training])
    queries, items, _ = distinct_pairs(events, events.parts == TRAIN)
    known = grouped(queries, {"known": items}, np.arange(len(tables.queries)))
    if "negatives" in frame.columns:
        _save(folder / "train", **given_negatives(frame, events.queries[training], known["known"], tables.items["id"], counts))
    said = {"teacher": "teacher"} if "teacher" in frame.columns else {}
    said |= {f"label{number}": name for number, name in enumerate(tables.declaration.labels)}
    _save(folder / "train", **{file: frame[name].cast(pl.Float32).fill_null(np.nan).to_numpy() for file, name in said.items()})
    _save(folder, counts=popularity(events, len(tables.items)), **known)
    for name in ("valid", "test"):
        _write_eval(folder / name, events, PARTS[name], VISIBLE[name])
    if tables.vectors is not None:
        _save(folder, item_vectors=tables.vectors[0], query_vectors=tables.vectors[1])


def _write_eval(folder: Path, events: Events, part: int, visible: Iterable[int]) -> None:
    """The examples of the part; each stands at its first event of the part."""
    answered = examples(events, part)
    first = np.unique(answered)
    owners, items, weights = distinct_pairs(events, events.parts == part, answered)
    targets = grouped(owners, {"relevant": items, "gains": weights}, first)
    queries, items, _ = distinct_pairs(events, events.among(visible))
    _save(folder, positions=first, **targets, **grouped(queries, {"seen": items}, events.queries[first]))


def _write_statistics(folder: Path, events: Events, tables: Tables) -> tuple[Scale, ...]:
    names = tables.declaration.statistics
    if not names:
        return ()
    every = EventTimes.build(events.items, events.times)
    _save(folder / "events", time_keys=every.keys, distinct_times=every.times)
    rows = np.arange(len(tables.items))
    for part in ("valid", "test"):
        seen = events.among(VISIBLE[part])
        standing = EventTimes.build(events.items[seen], events.times[seen])
        moment = np.full(len(rows), _begin(part, events, tables.declaration.split))
        _save(folder / "items", **{f"statistics_{part}": raw(names, standing, rows, moment)})
    training = events.of(TRAIN)
    return fit_scales(names, raw(names, every, events.items[training], events.times[training]))


def _begin(part: str, events: Events, split: SplitSpec) -> int:
    """The moment at which a part begins: of a temporal split its first, of any other the one after everything that it may look back on."""
    if split.kind == "temporal":
        begins = split.test_from if part == "test" or split.valid_from is None else split.valid_from
        return int(begins or 0)
    return int(events.times[events.among(VISIBLE[part])].max(initial=0)) + 1


def _fit(tables: Tables, features: Declared, events: Events, scales: tuple[Scale, ...]) -> Featurizer:
    training = np.flatnonzero(events.among(FITTED))
    history = tables.declaration.history
    return Featurizer(
        queries=_fitted(features.queries, tables.queries, np.flatnonzero(_marked(events.queries[training], len(tables.queries)))),
        context=_fitted(features.context, events.frame, training),
        items=_fitted(features.items, tables.items, np.flatnonzero(_marked(events.items[training], len(tables.items)))),
        history=history.max_length if history else 0,
        scales=scales,
    )


def _fitted(specs: Mapping[str, FeatureSpec], table: pl.DataFrame, rows: IntArray) -> tuple[Encoder, ...]:
    return tuple(fit_encoder(name, spec, table[name].gather(rows)) for name, spec in specs.items())


def _write_tables(folder: Path, tables: Tables, events: Events, featurizer: Featurizer, counts: dict[str, int]) -> None:
    context = events.frame.select(encoder.name for encoder in featurizer.context)
    no_event = context.clear(1)
    for name, table, encoders in (
        ("items", tables.items, featurizer.items),
        ("queries", tables.queries, featurizer.queries),
        ("context", context, featurizer.context),
    ):
        missing = {encoder.name: encoder.missing(table[encoder.name]) for encoder in encoders}
        counts.update({f"missing: {name}.{feature}": number for feature, number in missing.items() if number})
        if name == "context":
            _write_table(folder / name, len(events) + 1, pl.concat([table, no_event]), encoders)
        else:
            _write_table(folder / name, len(table), table, encoders)


def _write_table(folder: Path, size: int, table: pl.DataFrame, encoders: Iterable[Encoder]) -> None:
    columns: dict[str, Column] = {}
    texts: dict[str, pl.Series] = {}
    for encoder in encoders:
        if isinstance(encoder, Text):
            texts[encoder.name] = encoder.texts(table[encoder.name])
        else:
            columns |= encoder.encode(table[encoder.name])
    EncodedTable.save(folder / "table", size, columns, texts)
    table.write_parquet(folder / "raw.parquet")
    if "id" in table.columns:
        table.select(pl.col("id").cast(pl.String)).write_parquet(folder / "ids.parquet")


def _count(events: Events, tables: Tables, counts: dict[str, int]) -> None:
    """Adds the sizes of the parts and what evaluation meets that training never saw."""
    counts |= {"queries": len(tables.queries), "items": len(tables.items)}
    trained_items = _marked(events.items[events.of(TRAIN)], len(tables.items))
    trained_queries = _marked(events.queries[events.of(TRAIN)], len(tables.queries))
    for name, part in PARTS.items():
        positions = events.of(part)
        counts[f"{name} interactions"] = len(positions)
        if part == TRAIN or not len(positions):
            continue
        queries = _marked(events.queries[positions], len(tables.queries))
        counts[f"{name} queries"] = int(queries.sum())
        counts[f"{name} interactions with an item not in training"] = int((~trained_items[events.items[positions]]).sum())
        counts[f"{name} queries not in training"] = int((queries & ~trained_queries).sum())


def _marked(rows: IntArray, size: int) -> BoolArray:
    marks = np.zeros(size, np.bool_)
    marks[rows] = True
    return marks
