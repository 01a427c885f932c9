"""A temperature that is trained along with the towers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tt_hydra.errors import ConfigError
from tt_hydra.temperature.schedule import check_positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """One number learned by gradient, as in CLIP (Radford et al. 2021), whose bounds are the defaults here.

    Attributes:
        start: temperature at the first step.
        minimum: lower bound; 0.01 multiplies similarities by at most 100.
        maximum: upper bound.
    """

    start: float = 0.07
    minimum: float = 0.01
    maximum: float = 1.0

    def __post_init__(self) -> None:
        check_positive(start=self.start, minimum=self.minimum, maximum=self.maximum)
        if not self.minimum <= self.start <= self.maximum:
            raise ConfigError(
                f"temperature.start={self.start} must lie between temperature.minimum={self.minimum} and "
                f"temperature.maximum={self.maximum}. Move start or widen the bounds."
            )

    def build(self) -> nn.Module:
        """A module ``forward(progress) -> scalar`` with one parameter, ``log_inverse_temperature``, that takes no weight decay."""
        return LearnedTemperature(self.start, self.minimum, self.maximum)


class LearnedTemperature(nn.Module):
    """``exp(-log_inverse_temperature)``, kept within its bounds.

    A step of the optimizer may carry the parameter over a bound. While training, the next call puts it back on the bound in place, where
    its gradient is that of an inner point: it is never stuck outside, as it would be under a clamp that is part of the graph.
    """

    def __init__(self, start: float, minimum: float, maximum: float) -> None:
        super().__init__()
        self.log_inverse_temperature = nn.Parameter(torch.tensor(-math.log(start), dtype=torch.float32))
        self.bounds = (-math.log(maximum), -math.log(minimum))

    def forward(self, progress: float) -> Tensor:
        """The temperature, a float32 scalar; ``progress`` does not matter."""
        if self.training:
            with torch.no_grad():
                self.log_inverse_temperature.clamp_(*self.bounds)
            return torch.exp(-self.log_inverse_temperature.float())
        return torch.exp(-self.log_inverse_temperature.float().clamp(*self.bounds))
