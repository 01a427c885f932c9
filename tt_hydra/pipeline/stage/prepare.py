"""prepare: raw tables become a columnar data set with its parts, vocabularies and histories."""

from __future__ import annotations

import logging
from pathlib import Path

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.prepare import prepare as prepare_dataset
from tt_hydra.data.tables import Source

logger = logging.getLogger(__name__)


def prepare(source: Source, seed: int, folder: Path) -> None:
    """Reads the source and writes the data set under ``folder``."""
    prepare_dataset(source.read(), seed=seed, folder=folder)


def log_counts(dataset: Dataset) -> None:
    """Says what the data set holds and what had to be dropped, replaced or left out."""
    for name, count in dataset.log_counts().items():
        logger.info("data: %s %d", name, count)
