"""A temperature that moves slowly at both ends, along half a cosine wave."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from tt_hydra.temperature.schedule import Schedule, between, check_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosine:
    """From ``start`` at the first step to ``end`` at the last; either may be the larger one.

    Attributes:
        start: temperature at progress 0.
        end: temperature at progress 1.
    """

    start: float = 0.2
    end: float = 0.05

    def __post_init__(self) -> None:
        check_positive(start=self.start, end=self.end)

    def value(self, progress: float) -> float:
        """The temperature at a progress in [0, 1]."""
        return between(self.start, self.end, (1 - math.cos(math.pi * progress)) / 2)

    def build(self) -> nn.Module:
        """A module ``forward(progress) -> scalar``."""
        return Schedule(self.value)
