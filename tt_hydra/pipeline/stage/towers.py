"""The towers that the settings describe, untrained or with a finished training's weights."""

from __future__ import annotations

from pathlib import Path

import torch

from tt_hydra.artifact.model import ModelSpec
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.tower.two_tower import TwoTower
from tt_hydra.train.fit import WEIGHTS, load_weights


def model_spec(settings: RunSettings, dataset: Dataset) -> ModelSpec:
    """What the towers are built from: all settings that shape them, sides resolved."""
    return ModelSpec(
        query=settings.query_tower or settings.tower,
        item=settings.item_tower or settings.tower,
        schema=dataset.schema,
        text_pooling=settings.text_pooling or settings.pooling,
        history_pooling=settings.history_pooling or settings.pooling,
        embedding_dim=settings.embedding_dim,
        metric=settings.metric,
        num_items=dataset.num_items,
        tie=settings.tie,
    )


def build_towers(settings: RunSettings, dataset: Dataset) -> TwoTower:
    """Two towers for a data set, their weights a function of ``settings.seed``."""
    torch.manual_seed(settings.seed)
    return model_spec(settings, dataset).build()


def trained_towers(settings: RunSettings, dataset: Dataset, training: Path) -> TwoTower:
    """The towers with the weights that the training in folder ``training`` left."""
    towers = build_towers(settings, dataset)
    load_weights(towers, training / WEIGHTS)
    return towers.eval()
