"""What scheduled temperatures share: the module that evaluates them and the check of their values."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tt_hydra.errors import ConfigError


def check_positive(**values: float) -> None:
    """Refuses temperatures that are not finite numbers above 0.

    Raises:
        ConfigError: names the first such key.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"temperature.{name} divides similarities, so it is a finite number above 0; got {value}. Usual: 0.01 to 1.")


def between(start: float, end: float, share: float) -> float:
    """The point at ``share`` of the way, exact at both ends."""
    return start * (1 - share) + end * share


class Schedule(nn.Module):
    """A temperature without weights: a function of the progress, which is held at its ends outside [0, 1]."""

    def __init__(self, value: Callable[[float], float]) -> None:
        super().__init__()
        self.value = value

    def forward(self, progress: float) -> Tensor:
        """The temperature, a float32 scalar on the CPU."""
        return torch.tensor(self.value(min(max(progress, 0.0), 1.0)), dtype=torch.float32)
