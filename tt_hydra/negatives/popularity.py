"""Popularity negatives: items by how often they are a positive, flattened by a power."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import Drawn, DrawRequest, FloatArray, IntArray, Origin, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.drawable import Drawable
from tt_hydra.negatives.frequency import log_marginal, log_share

ROUNDS = 8
"""Rounds of drawing that a skewed distribution is given to yield enough distinct items, before every item gets a key instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Popularity:
    """Items drawn anew for each batch and shared by its queries, with a probability in proportion to ``counts ** alpha``.

    Attributes:
        num_negatives: items drawn for a batch, all distinct; where there are fewer, all of them are.
        alpha: 0 is uniform, 1 the distribution of in-batch negatives, 0.75 the choice of word2vec (Mikolov et al. 2013).
        never_taken: whether items without a training event are drawn too, as negatives that are never a positive; each counts as half of
            the rarest item that has one.
    """

    num_negatives: int = 1024
    alpha: float = 0.75
    never_taken: bool = False
    requires_given: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_at_least_one(num_negatives=self.num_negatives)
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise ConfigError(f"negatives.alpha is a finite number, at least 0; got {self.alpha}. Usual: 0.75, between 0 (uniform) and 1.")

    def fit(self, training: TrainingView) -> FittedPopularity:
        """The sampler for a training part."""
        drawable = Drawable.of(training, self.never_taken)
        first_draw = log_share(training.counts[drawable.rows], self.alpha)
        draws = min(self.num_negatives, len(drawable))
        marginal = np.full(training.num_items, -np.inf, np.float32)
        marginal[drawable.rows] = log_marginal(first_draw, draws)
        return FittedPopularity(drawable.rows, first_draw, np.cumsum(np.exp(first_draw, dtype=np.float64)), marginal, draws)


@dataclass(frozen=True, slots=True)
class FittedPopularity:
    """Draws ``num_negatives`` rows one after the other, each in proportion to its probability among those not drawn yet.

    Attributes:
        rows: ``(drawable,)`` catalogue rows that may be drawn.
        first_draw: ``(drawable,)`` log probability of each of them in the first draw.
        cumulative: ``(drawable,)`` running sum of these probabilities.
        marginal: ``(num_items,)`` log probability of each item in a draw chosen at random; -inf for one that is not drawn.
    """

    rows: IntArray
    first_draw: FloatArray
    cumulative: npt.NDArray[np.float64]
    marginal: FloatArray
    num_negatives: int
    in_batch: ClassVar[bool] = False
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Distinct rows; a positive of the batch may be among them."""
        return Drawn.shared(self.rows[self._places(generator)], Origin.POPULARITY)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is drawn: an item that most batches hold is hardly more likely than another."""
        return self.marginal[rows] + np.float32(math.log(self.num_negatives))

    def _places(self, generator: np.random.Generator) -> IntArray:
        """Distinct places in ``rows``, one after the other.

        Draws with replacement whose repeats are dropped are draws without replacement, and cost nothing per item.
        Where repeats get too many, the rest comes from an exponential race (Efraimidis and Spirakis 2006), which has the same
        distribution at a cost in proportion to their number.
        """
        places = np.empty(0, np.int64)
        for _ in range(ROUNDS if 4 * self.num_negatives <= len(self.rows) else 0):
            places = _distinct(np.concatenate([places, self._with_replacement(2 * self.num_negatives, generator)]))
            if len(places) >= self.num_negatives:
                return places[: self.num_negatives]
        return np.concatenate([places, self._race(places, self.num_negatives - len(places), generator)])

    def _with_replacement(self, size: int, generator: np.random.Generator) -> IntArray:
        places: IntArray = np.searchsorted(self.cumulative, generator.random(size) * self.cumulative[-1], side="right")
        return np.minimum(places, len(self.rows) - 1)

    def _race(self, taken: IntArray, size: int, generator: np.random.Generator) -> IntArray:
        """The ``size`` items that arrive first, each after an exponential time at the rate of its probability."""
        log_time = np.log(generator.standard_exponential(len(self.rows))) - self.first_draw
        log_time[taken] = np.inf
        return np.argpartition(log_time, size - 1)[:size]


def _distinct(places: IntArray) -> IntArray:
    """The places without repeats, in order of their first occurrence."""
    _, first = np.unique(places, return_index=True)
    return places[np.sort(first)]
