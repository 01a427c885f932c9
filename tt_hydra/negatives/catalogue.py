"""The whole catalogue as negatives: an exact softmax, nothing is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Ragged
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

    def fit(self, counts: FloatArray) -> FittedCatalogue:
        """The sampler for a catalogue of ``len(counts)`` items.

        Raises:
            ConfigError: the catalogue is larger than ``max_items``.
        """
        if len(counts) > self.max_items:
            raise ConfigError(
                f"negatives=catalogue scores every item in each step, up to negatives.max_items={self.max_items}; this catalogue has "
                f"{len(counts)}. Choose negatives=uniform (or popularity), or raise negatives.max_items if memory and time allow."
            )
        return FittedCatalogue(len(counts))


@dataclass(frozen=True, slots=True)
class FittedCatalogue:
    """Gives all ``num_items`` rows."""

    num_items: int
    in_batch: ClassVar[bool] = False

    def draw(self, positives: IntArray, given: Ragged | None, generator: np.random.Generator) -> IntArray:
        """Every row, in order."""
        return np.arange(self.num_items)

    def log_q(self, rows: IntArray) -> FloatArray:
        """Zeros: every item is there with certainty."""
        return np.zeros(len(rows), np.float32)
