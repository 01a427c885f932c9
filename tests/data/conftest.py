from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Ragged
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec
from tt_hydra.data.prepare import prepare
from tt_hydra.data.tables import Tables

DAY = 24 * 3_600_000_000


def word_lengths(texts: Sequence[str]) -> Ragged:
    """A tokenizer whose tokens are the lengths of the words."""
    rows = [[len(word) for word in text.split()] for text in texts]
    return Ragged(np.array([token for row in rows for token in row], np.int32), np.cumsum([0] + [len(row) for row in rows]))


@pytest.fixture
def make_tables() -> Callable[..., Tables]:
    """Tables of a hand-made source: u1 takes a b c d (b and c at one time), u2 takes a c, u3 takes f, u4 and item e nothing."""

    def make(**changes: Any) -> Tables:
        declaration = changes.pop("declaration", None) or Declaration(
            queries={"age": FeatureSpec(kind="numeric")},
            items={
                "id": FeatureSpec(kind="categorical"),
                "title": FeatureSpec(kind="text"),
                "genres": FeatureSpec(kind="multi"),
                "price": FeatureSpec(kind="numeric"),
            },
            context={"device": FeatureSpec(kind="categorical")},
            history=HistorySpec(max_length=2),
            statistics=("count", "rate_1d"),
            split=SplitSpec(kind="leave_last_out"),
        )
        tables = {
            "queries": pl.DataFrame({"id": ["u1", "u2", "u3", "u4"], "age": [20, 40, None, 60]}),
            "items": pl.DataFrame(
                {
                    "id": list("abcdef"),
                    "title": ["one", "two words", "", None, "émigré 東京", "six"],
                    "genres": ["x|y", "x", None, "z", "y|new", ""],
                    "price": [1.0, 3.0, 5.0, 7.0, None, 2.0],
                    "year": [1, 2, 3, 4, 5, 6],
                }
            ),
            "interactions": pl.DataFrame(
                {
                    "query": ["u1", "u1", "u1", "u1", "u2", "u2", "u3"],
                    "item": list("abcdacf"),
                    "time": [day * DAY for day in (10, 20, 20, 30, 5, 25, 1)],
                    "device": ["tv", "pc", "tv", "watch", "pc", None, "pc"],
                }
            ),
        }
        return Tables(declaration=declaration, fingerprint="-", display="title", **{**tables, **changes})

    return make


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Dataset]:
    """Prepares tables and opens the data set, texts tokenised."""

    def make(tables: Tables, **arguments: Any) -> Dataset:
        folder = arguments.pop("folder", tmp_path / f"prepared{len(list(tmp_path.iterdir()))}")
        prepare(tables, folder=folder, **{"valid_share": 0.1, "seed": 0, **arguments})
        return Dataset.load(folder).tokenized({"query": word_lengths, "item": word_lengths})

    return make


@pytest.fixture
def random_tables() -> Callable[..., Tables]:
    """Random events of 12 queries on 15 items with many equal times."""

    def make(split: SplitSpec, seed: int = 0, events: int = 150, time: bool = True, **changes: Any) -> Tables:
        rng = np.random.default_rng(seed)
        interactions = pl.DataFrame(
            {
                "query": [f"q{row}" for row in rng.integers(0, 12, events)],
                "item": [f"i{row}" for row in rng.integers(0, 15, events)],
                "time": rng.integers(0, 40, events) * DAY,
                "weight": rng.integers(1, 4, events).astype(np.float32),
                "split": rng.choice(["train", "train", "train", "valid", "test"], events),
            }
        )
        by_id = {"id": FeatureSpec(kind="categorical")}
        own = {"queries": by_id, "items": by_id, "history": HistorySpec(max_length=3), "statistics": ("count", "rate_7d") if time else ()}
        fields = {**own, **changes}
        return Tables(
            queries=pl.DataFrame({"id": [f"q{row}" for row in range(12)]}),
            items=pl.DataFrame({"id": [f"i{row}" for row in range(15)]}),
            interactions=interactions if time else interactions.drop("time").unique(["query", "item", "split"], maintain_order=True),
            declaration=Declaration(split=split, **fields),
            fingerprint="-",
        )

    return make
