"""One temperature for the whole training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tt_hydra.temperature.schedule import Schedule, check_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """``start`` throughout.

    Attributes:
        start: the temperature.
    """

    start: float = 0.07

    def __post_init__(self) -> None:
        check_positive(start=self.start)

    def value(self, progress: float) -> float:
        """The temperature at any progress."""
        return self.start

    def build(self) -> nn.Module:
        """A module ``forward(progress) -> scalar``."""
        return Schedule(self.value)
