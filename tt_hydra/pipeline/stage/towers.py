"""The towers that the settings describe."""

from __future__ import annotations

import torch

from tt_hydra.artifact.model import ModelSpec
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.tower.two_tower import TwoTower


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
        item_bias=settings.item_bias,
        num_items=dataset.num_items,
        tie=settings.tie,
    )


def build_towers(settings: RunSettings, dataset: Dataset) -> TwoTower:
    """Two towers for a data set, their weights a function of ``settings.seed``."""
    torch.manual_seed(settings.seed)
    return model_spec(settings, dataset).build()
