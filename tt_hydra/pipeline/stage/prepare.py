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
    """Says again what was said when the data set was prepared: what it holds and what was dropped, missing or unknown."""
    logger.info("data set: %s", dataset.told_counts())
