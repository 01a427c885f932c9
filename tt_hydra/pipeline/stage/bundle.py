"""bundle: what a search service needs, in one folder that says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tt_hydra.artifact.store import read_record
from tt_hydra.artifact.write import Model, Parts, write_bundle
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.embed import ITEM_TEXT, ITEMS
from tt_hydra.pipeline.stage.folders import Folders
from tt_hydra.pipeline.stage.reference import reference
from tt_hydra.pipeline.stage.table import machine
from tt_hydra.pipeline.stage.towers import model_spec
from tt_hydra.tower.autocast import Precision
from tt_hydra.tower.two_tower import TwoTower


def bundle(
    settings: RunSettings, folders: Folders, dataset: Dataset, towers: TwoTower | None, precision: Precision, metrics: Mapping[str, float]
) -> Path:
    """Writes ``bundle/`` into the run's folder."""
    folder = settings.runtime.run_dir / "bundle"
    model = None if towers is None else Model(towers, model_spec(settings, dataset))
    conditions = {"torch_threads": torch.get_num_threads(), "latency_threads": 1, "seed": settings.seed}
    parts = Parts(
        model=model,
        metric=settings.metric,
        dataset=dataset,
        item_vectors=folders.embed / ITEMS,
        index=folders.index,
        item_text=item_text if (item_text := folders.embed / ITEM_TEXT).exists() else None,
        precision=precision,
        measured=metrics,
        conditions={**machine(), **conditions, "exclude_seen": settings.evaluate.exclude_seen},
        reference=reference(settings, folders, dataset),
        trained=_trained(folders.train),
    )
    write_bundle(folder, parts)
    return folder


def _trained(folder: Path | None) -> str | None:
    """When the training ended that a run made or used again."""
    record = None if folder is None else read_record(folder)
    return None if record is None else record.get("created")
