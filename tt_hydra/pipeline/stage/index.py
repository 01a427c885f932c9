"""index: the catalogue's vectors become a searchable index."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from tt_hydra.artifact.files import link_or_copy
from tt_hydra.component import spec_of
from tt_hydra.contracts import VectorIndex
from tt_hydra.data.dataset import Dataset
from tt_hydra.index.auto import Auto
from tt_hydra.index.build import build_index
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.storage import bytes_on_disk, load_index
from tt_hydra.index.tune.frontier import FILE as FRONTIER
from tt_hydra.index.tune.frontier import write_frontier
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.embed import ITEMS, load_vectors
from tt_hydra.pipeline.stage.table import machine
from tt_hydra.pipeline.stage.tuning import tuned

SUMMARY = "building.json"


def index(settings: RunSettings, dataset: Dataset, embedding: Path, folder: Path) -> None:
    """Builds the index over the vectors of the embed stage and writes it, its size and what it took; with ``index=auto`` finds it.

    Raises:
        BudgetError: ``index=auto`` found none that keeps the budget.
    """
    if isinstance(settings.index, Auto):
        found = tuned(settings, dataset, embedding, folder)
        _save(found.index, found.build_s, embedding, folder, {f"auto/{name}": value for name, value in found.figures.items()})
        write_frontier(found.points, folder)
        return
    vectors = load_vectors(embedding, ITEMS)
    started = time.perf_counter()
    built = build_index(settings.index, settings.quantization, vectors, settings.metric, seed=settings.seed, prefix_dim=settings.prefix_dim)
    seconds = time.perf_counter() - started
    _save(built, seconds, embedding, folder, {})


def _save(built: FaissIndex, seconds: float, embedding: Path, folder: Path, more: Mapping[str, float]) -> None:
    built.save(folder)
    size = bytes_on_disk(folder, embedding / ITEMS)
    summary = {"build_s": seconds, "bytes_per_item": size / built.size, "bytes_total": float(size), **more}
    (folder / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")


def load(embedding: Path, folder: Path) -> VectorIndex:
    """The index that the stage wrote, over the embed stage's vectors."""
    return load_index(folder, vectors=load_vectors(embedding, ITEMS))


def copy_frontier(indexed: Path, folder: Path) -> None:
    """Puts the operating points that ``index=auto`` measured beside the run's own figures."""
    (folder / FRONTIER).unlink(missing_ok=True)
    if (indexed / FRONTIER).is_file():
        link_or_copy(indexed / FRONTIER, folder / FRONTIER)


def resolved(settings: RunSettings) -> dict[str, object]:
    """What the choice of ``index=auto`` depends on besides the vectors: the budget, and the machine that latency is measured on."""
    if not isinstance(settings.index, Auto):
        return {}
    return {"budget": spec_of(settings.budget), **machine(), "threads": torch.get_num_threads()}
