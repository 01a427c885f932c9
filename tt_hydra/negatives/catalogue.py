"""The whole catalogue as negatives: an exact softmax, nothing is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Every item stands against every query.

    Attributes:
        max_items: largest catalogue that is taken; each step encodes all of it.
    """

    max_items: int = 50_000
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(max_items=self.max_items)

    def fit(self, training: TrainingView) -> FittedCatalogue:
        """The sampler for a training part.

        Raises:
            ConfigError: the catalogue is larger than ``max_items``.
        """
        if training.num_items > self.max_items:
            raise ConfigError(
                f"negatives=catalogue scores every item in each step, up to negatives.max_items={self.max_items}; this catalogue has "
                f"{training.num_items}. Choose negatives=uniform (or popularity), or raise negatives.max_items if memory and time allow."
            )
        return FittedCatalogue(training.num_items)


@dataclass(frozen=True, slots=True)
class FittedCatalogue:
    """Gives all ``num_items`` rows."""

    num_items: int
    in_batch: ClassVar[bool] = False
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Every row, in order."""
        return Drawn.shared(np.arange(self.num_items), Origin.CATALOGUE)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Zeros: every item is there with certainty."""
        return np.zeros(len(rows), np.float32)
