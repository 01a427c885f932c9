"""embed: vectors of the catalogue and of the evaluation queries."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tt_hydra.contracts import FloatArray, IntArray
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.stage.resolved import Compute
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.encode import embed_items, embed_queries, refresh_item_text

ITEMS = "items.npy"
ITEM_TEXT = "item_text.npy"
SUMMARY = "embedding.json"
PARTS: tuple[Literal["valid", "test"], ...] = ("valid", "test")


def embed(towers: TwoTower, dataset: Dataset, compute: Compute, batch_size: int, folder: Path) -> None:
    """Writes ``items.npy``, ``queries_valid.npy``, ``queries_test.npy``, what histories read of texts, and what it took.

    The towers run on the device of ``compute`` and are on the CPU afterwards.
    """
    started, precision = time.perf_counter(), compute.precision
    towers.to("cuda" if compute.device == "gpu" else "cpu")
    refresh_item_text(towers, dataset, batch_size, precision)
    if towers.item_text is not None:
        np.save(folder / ITEM_TEXT, towers.item_text.float().cpu().numpy())
    np.save(folder / ITEMS, embed_items(towers, dataset, batch_size, precision))
    items_per_s = dataset.num_items / (time.perf_counter() - started)
    for part in PARTS:
        np.save(folder / queries_file(part), embed_queries(towers, dataset, part, batch_size, precision))
    towers.to("cpu")
    (folder / SUMMARY).write_text(json.dumps({"items_per_s": items_per_s}), encoding="utf-8")


def given(vectors: tuple[FloatArray, FloatArray], valid_share: float, seed: int, folder: Path) -> None:
    """Takes over ready-made vectors of items and queries; a share of the queries, drawn by ``seed``, is the validation part."""
    items, queries = vectors
    np.save(folder / ITEMS, items)
    for part, rows in given_parts(len(queries), valid_share, seed).items():
        np.save(folder / queries_file(part), queries[rows])
        np.save(folder / rows_file(part), rows)
    (folder / SUMMARY).write_text(json.dumps({}), encoding="utf-8")


def given_share(source: object) -> float:
    """Share of ready-made query vectors that are validation; half where a source says nothing of it."""
    return float(getattr(source, "valid_share", 0.5))


def given_parts(size: int, valid_share: float, seed: int) -> dict[Literal["valid", "test"], IntArray]:
    """Which of ``size`` ready-made query vectors belong to which part: rows, ascending."""
    parts = np.split(np.random.default_rng(seed).permutation(size), [round(valid_share * size)])
    return {part: np.sort(rows) for part, rows in zip(PARTS, parts, strict=True)}


def recall_item_text(towers: TwoTower, folder: Path) -> None:
    """Gives the towers the items' text vectors that the stage wrote, so that nobody encodes them again."""
    if (folder / ITEM_TEXT).exists():
        towers.set_item_text(torch.from_numpy(np.load(folder / ITEM_TEXT)))


def rows_file(part: str) -> str:
    """Name of the file that says whose an evaluation part's ready-made query vectors are."""
    return f"rows_{part}.npy"


def queries_file(part: str) -> str:
    """Name of the file with an evaluation part's query vectors."""
    return f"queries_{part}.npy"


def load_vectors(folder: Path, name: str) -> FloatArray:
    """A matrix that this stage wrote, memory-mapped, ``(rows, dim)`` float32."""
    vectors: FloatArray = np.load(folder / name, mmap_mode="r")
    return vectors
