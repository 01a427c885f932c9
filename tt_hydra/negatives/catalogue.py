"""The whole catalogue as negatives, as far as it was ever taken: an exact softmax, nothing is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.drawable import Drawable


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Every item that has a training event stands against every query.

    Attributes:
        max_items: largest number of items that is taken; each step encodes all of them.
        never_taken: whether items without a training event are among them, as negatives that are never a positive.
    """

    max_items: int = 50_000
    never_taken: bool = False
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(max_items=self.max_items)

    def fit(self, training: TrainingView) -> FittedCatalogue:
        """The sampler for a training part.

        Raises:
            ConfigError: there are more items than ``max_items``.
        """
        drawable = Drawable.of(training, self.never_taken)
        if len(drawable) > self.max_items:
            which = "" if len(drawable) == training.num_items else " with a training event"
            raise ConfigError(
                f"negatives=catalogue scores every item{which} in each step, up to negatives.max_items={self.max_items}; this catalogue "
                f"has {len(drawable)}{which}. Choose negatives=uniform (or popularity), or raise negatives.max_items if memory and time "
                "allow."
            )
        return FittedCatalogue(drawable)


@dataclass(frozen=True, slots=True)
class FittedCatalogue:
    """Gives all rows that may be drawn."""

    drawable: Drawable
    in_batch: ClassVar[bool] = False
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Every row, in order."""
        return Drawn.shared(self.drawable.rows, Origin.CATALOGUE)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Zeros: every item that may be drawn is there with certainty."""
        return self.drawable.log_presence(rows, len(self.drawable))
