"""Which trainings are not worth going on with, by the validation recall that others had as early. Pure functions of curves.

ASHA: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020. Hyperband: Li et al., JMLR 18, 2018.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST = 4
"""Trainings that must have come as far before one is compared with them."""
BRACKETS = 3
"""Brackets of Hyperband: each starts to compare later, by the factor, than the one before."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Validation recall after each epoch of one trial's training."""

    number: int
    values: Sequence[float]
    ended: bool
    """Whether no more values come, because the training is over or was pruned."""

    def best(self, epochs: int) -> float | None:
        """The best value within the first epochs; None where it has not come as far."""
        if not self.values or (len(self.values) < epochs and not self.ended):
            return None
        return max(self.values[:epochs])


@dataclass(frozen=True, slots=True)
class Pruning:
    """How trainings are judged.

    Attributes:
        kind: the rule.
        after: epochs before which none is ended.
        factor: of this many that come to a rung, one goes on.
    """

    kind: Literal["asha", "hyperband", "median", "none"]
    after: int = 1
    factor: int = 3

    def verdict(self, own: Curve, others: Sequence[Curve]) -> str:
        """Why a training shall end now, or an empty text.

        Args:
            own: the training that has just been validated.
            others: the other trainings of the study, those that were pruned included.
        """
        epoch = len(own.values)
        if self.kind == "none" or epoch < self.after:
            return ""
        return self._median(own, others, epoch) if self.kind == "median" else self._halving(own, others, epoch)

    def _median(self, own: Curve, others: Sequence[Curve], epoch: int) -> str:
        known = _bests(others, epoch)
        mine = own.best(epoch)
        if len(known) < FEWEST or mine is None or mine >= statistics.median(known):
            return ""
        return f"best recall {mine:.4f} after {epoch} epochs is below the median {statistics.median(known):.4f} of {len(known)} others"

    def _halving(self, own: Curve, others: Sequence[Curve], epoch: int) -> str:
        first = self.after
        if self.kind == "hyperband":
            bracket = own.number % BRACKETS
            others = [other for other in others if other.number % BRACKETS == bracket]
            first *= self.factor**bracket
        if not _is_rung(epoch, first, self.factor):
            return ""
        known, mine = _bests(others, epoch), own.best(epoch)
        if len(known) < FEWEST or mine is None:
            return ""
        kept = max(1, (len(known) + 1) // self.factor)
        bar = sorted([*known, mine], reverse=True)[kept - 1]
        if mine >= bar:
            return ""
        return f"recall {mine:.4f} after {epoch} epochs is not among the best {kept} of {len(known) + 1} (from {bar:.4f})"


def _is_rung(epoch: int, first: int, factor: int) -> bool:
    while first < epoch:
        first *= factor
    return first == epoch


def _bests(curves: Sequence[Curve], epoch: int) -> list[float]:
    return [best for curve in curves if (best := curve.best(epoch)) is not None]
