"""A small data set and the parts of a bundle, for the tests of what is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from tt_hydra.artifact.model import ModelSpec
from tt_hydra.artifact.write import Model, Parts
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec, parse_features
from tt_hydra.data.prepare import prepare
from tt_hydra.data.tables import Tables
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.pipeline.stage.reference import asked
from tt_hydra.pooling.mean import Mean
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TowerSpec

ITEMS, QUERIES = 40, 12


def tables(declaration: Declaration) -> Tables:
    """Forty films and twelve users, each of whom saw six films; ids and titles hold what breaks naive code."""
    random = np.random.default_rng(0)
    items = pl.DataFrame(
        {
            "id": [f"i{number}" for number in range(ITEMS - 1)] + ["Ü, 'q'"],
            "title": [f"film {number} about {'sea' if number % 2 else 'war'}" for number in range(ITEMS - 1)] + ["naïve 🎬"],
            "genres": [["a", "b", "c"][: number % 4] for number in range(ITEMS)],
            "year": [None if number % 7 == 0 else 1950 + number for number in range(ITEMS)],
            "poster": ["x"] * ITEMS,
        }
    )
    queries = pl.DataFrame(
        {
            "id": [str(number) for number in range(QUERIES)],
            "age": random.integers(18, 70, QUERIES),
            "job": [None, "a", "b"] * (QUERIES // 3),
        }
    )
    pairs = [(query, item) for query in range(QUERIES) for item in random.permutation(ITEMS)[:6]]
    interactions = pl.DataFrame(
        {
            "query": [str(query) for query, _ in pairs],
            "item": [items["id"][int(item)] for _, item in pairs],
            "time": [1_700_000_000_000_000 + 3_600_000_000 * number for number in range(len(pairs))],
            "device": ["tv", "phone", None] * (len(pairs) // 3),
            "text": [f"a question about number {item}" for _, item in pairs],
        }
    )
    return Tables(queries=queries, items=items, interactions=interactions, declaration=declaration, fingerprint="f", display="title")


FULL = Declaration(
    queries=parse_features({"age": "numeric", "job": "categorical", "id": "categorical"}),
    items=parse_features({"title": "text", "genres": "multi", "year": {"kind": "numeric", "normalize": "standard"}}),
    context={"device": FeatureSpec(kind="categorical")},
    history=HistorySpec(max_length=4),
    split=SplitSpec(kind="leave_last_out"),
)

SMALL = Mlp(feature_dim=8)
TEXT_ONLY = Declaration(items=parse_features({"title": "text"}), split=SplitSpec(kind="leave_last_out"), text=True)
"""Queries are texts and nothing else: the towers are tied."""


def make_parts(folder: Path, declaration: Declaration = FULL, seed: int = 0, tower: TowerSpec = SMALL) -> Parts:
    """The parts of a bundle from a small data set, with untrained towers of a seed."""
    prepare(tables(declaration), valid_share=0.1, seed=0, folder=folder / "dataset")
    dataset = Dataset.load(folder / "dataset")
    spec = ModelSpec(
        query=tower,
        item=tower,
        schema=dataset.schema,
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=16,
        metric="cosine",
        num_items=dataset.num_items,
    )
    torch.manual_seed(seed)
    towers = spec.build().eval()
    dataset = dataset.tokenized(towers.tokenizers)
    with torch.inference_mode():
        if towers.needs_item_text:
            towers.set_item_text(towers.item_text_vectors(dataset.items(np.arange(dataset.num_items))).clone())
        vectors = towers.embed_items(dataset.items(np.arange(dataset.num_items))).numpy()
        queries = towers.embed_queries(dataset.queries("valid", np.arange(len(dataset.eval_part("valid"))))).numpy()
    np.save(folder / "items.npy", vectors)
    (folder / "index").mkdir()
    index = build_index(Flat(), NoQuantization(), vectors, "cosine", seed=0)
    index.save(folder / "index")
    return Parts(
        model=Model(towers, spec),
        metric="cosine",
        dataset=dataset,
        item_vectors=folder / "items.npy",
        index=folder / "index",
        measured={"test/model/recall@10": 0.25},
        conditions={"threads": 1},
        reference=asked(dataset, queries, index, exclude_seen=True),
    )
