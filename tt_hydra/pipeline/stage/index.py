"""index: the catalogue's vectors become a searchable index."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tt_hydra.contracts import VectorIndex
from tt_hydra.index.build import build_index
from tt_hydra.index.storage import bytes_on_disk, load_index
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.embed import ITEMS, load_vectors

SUMMARY = "building.json"


def index(settings: RunSettings, embedding: Path, folder: Path) -> None:
    """Builds the index over the vectors of the embed stage and writes it, its size and what it took."""
    vectors = load_vectors(embedding, ITEMS)
    started = time.perf_counter()
    built = build_index(settings.index, settings.quantization, vectors, settings.metric, seed=settings.seed, prefix_dim=settings.prefix_dim)
    seconds = time.perf_counter() - started
    built.save(folder)
    summary = {"build_s": seconds, "bytes_per_item": bytes_on_disk(folder, embedding / ITEMS) / built.size}
    (folder / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")


def load(embedding: Path, folder: Path) -> VectorIndex:
    """The index that the stage wrote, over the embed stage's vectors."""
    return load_index(folder, vectors=load_vectors(embedding, ITEMS))
