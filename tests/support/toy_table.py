"""A small table that can be learnt: users of four tastes, each of whom takes items of one taste."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec
from tt_hydra.data.tables import Tables

GENRES = ("western", "comedy", "thriller", "musical")
TASTES, USERS, ITEMS, EVENTS = len(GENRES), 48, 80, 8
PAIRS = USERS * (EVENTS - 2)
"""Training pairs that leave-last-out keeps."""
NAMED = 2
"""Negatives that each event names: items of other tastes."""


def _items() -> pl.DataFrame:
    return pl.DataFrame(
        {"id": [f"i{number}" for number in range(ITEMS)], "title": [f"film {number} {GENRES[number % TASTES]}" for number in range(ITEMS)]}
    )


def _events() -> pl.DataFrame:
    random = np.random.default_rng(5)
    taste = np.arange(ITEMS) % TASTES
    rows = []
    for user in range(USERS):
        liked = random.permutation(np.flatnonzero(taste == user % TASTES))[:EVENTS]
        for number, item in enumerate(liked):
            others = random.choice(np.flatnonzero(taste != user % TASTES), NAMED, replace=False)
            rows.append((f"u{user}", f"i{item}", number * USERS + user, [f"i{other}" for other in others]))
    return pl.DataFrame(rows, schema=["query", "item", "time", "negatives"], orient="row")


def toy_tables(split: SplitSpec) -> Tables:
    """The table as a source would give it; users and items have an id, items a title too, users a history."""
    declaration = Declaration(
        queries={"id": FeatureSpec(kind="categorical")},
        items={"id": FeatureSpec(kind="categorical"), "title": FeatureSpec(kind="text")},
        history=HistorySpec(max_length=5),
        split=split,
    )
    queries = pl.DataFrame({"id": [f"u{number}" for number in range(USERS)]})
    return Tables(queries=queries, items=_items(), interactions=_events(), declaration=declaration, fingerprint="toy", display="title")


def write_table(folder: Path) -> list[str]:
    """Writes ``events.csv`` and ``items.csv``; returns the overrides that declare them, paths absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    _items().write_csv(folder / "items.csv")
    _events().drop("negatives").write_csv(folder / "events.csv")
    return [
        "data=table",
        f"data.interactions.path={folder}/events.csv",
        "data.interactions.query=query",
        "data.interactions.item=item",
        "data.interactions.time=time",
        f"data.items.path={folder}/items.csv",
        "data.items.id=id",
        "data.items.features={id: categorical, title: text}",
        "data.history.max_length=5",
    ]


def write_pairs(folder: Path) -> list[str]:
    """Writes ``pairs.jsonl``, whose rows name negatives; returns the overrides that declare it."""
    folder.mkdir(parents=True, exist_ok=True)
    number = pl.col("time") // USERS
    part = pl.when(number == EVENTS - 1).then(pl.lit("test")).when(number == EVENTS - 2).then(pl.lit("valid")).otherwise(pl.lit("train"))
    _events().select("query", pl.col("item").alias("positive"), "negatives", part.alias("part")).write_ndjson(folder / "pairs.jsonl")
    return ["data=pairs", f"data.path={folder}/pairs.jsonl", "data.part=part"]
