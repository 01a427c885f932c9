"""A closed loop: the number of negatives that push at once is held on a declared curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.curriculum.schedule import Window, check_factor, check_window, window_between
from tt_hydra.errors import ConfigError

LARGEST_ERROR = 1.0
"""Errors beyond it, in natural logarithms, move the actuator no faster: a step never runs away with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetHardness:
    """Holds the effective number of negatives, exp of the entropy of the softmax over a query's negatives, on a curve.

    A schedule of the temperature does not say how hard training is: that depends on the data, the batch and how far the towers are.
    Here the hardness is declared and the temperature (or the rank window of mined negatives) follows. The controller integrates the
    logarithm of target over observed number, and its state is bounded, so that a target out of reach does not wind it up.

    Attributes:
        start: effective number of negatives at the first step.
        end: the same at the last step; the curve between is geometric.
        by: temperature: a factor on the temperature; window: the rank window of mined negatives, between ``easy`` and ``hard``.
        gain: how fast an error is taken back, per step: 0.05 halves an error within some 5 to 15 steps.
        lowest: smallest factor on the temperature.
        highest: largest factor on the temperature.
        easy: ranks (best, worst) of the easiest window.
        hard: ranks (best, worst) of the hardest window.
    """

    start: float = 64.0
    end: float = 8.0
    by: Literal["temperature", "window"] = "temperature"
    gain: float = 0.05
    lowest: float = 0.2
    highest: float = 5.0
    easy: Window = (71, 100)
    hard: Window = (1, 30)
    observes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_factor(gain=self.gain, lowest=self.lowest, highest=self.highest)
        check_window(easy=self.easy, hard=self.hard)
        for name, value in {"start": self.start, "end": self.end}.items():
            if not (math.isfinite(value) and value >= 1):
                raise ConfigError(f"curriculum.{name} is an effective number of negatives, at least 1; got {value}.")
        if self.gain > 1:
            raise ConfigError(f"curriculum.gain={self.gain} takes back more than the error; at most 1, usually 0.05.")
        if not self.lowest <= 1 <= self.highest:
            raise ConfigError(
                f"curriculum.lowest={self.lowest} and curriculum.highest={self.highest} bound a factor that begins at 1, so 1 lies between."
            )

    def target(self, progress: float) -> float:
        """The declared number at a progress, which is held at its ends outside [0, 1]."""
        share = min(max(progress, 0.0), 1.0)
        return math.exp((1 - share) * math.log(self.start) + share * math.log(self.end))

    def build(self) -> CurriculumState:
        """A state with one buffer, ``control``."""
        return ClosedLoop(self)


class ClosedLoop(CurriculumState):
    """An integrator between bounds. ``control`` is the log of the factor on the temperature, or 0 (easy) to 1 (hard) for the window."""

    control: Tensor

    def __init__(self, settings: TargetHardness) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("control", torch.zeros((), dtype=torch.float32))

    def forward(self, progress: float) -> Hardness:
        """How hard the next step shall be, by what the steps before it showed."""
        control, aim = float(self.control), self.settings.target(progress)
        if self.settings.by == "temperature":
            return Hardness(temperature=math.exp(control), effective_negatives=aim)
        return Hardness(window=window_between(self.settings.easy, self.settings.hard, control), effective_negatives=aim)

    def observe(self, effective_negatives: float, progress: float) -> None:
        """Moves the control against the error; a number that is not known moves nothing."""
        if not (math.isfinite(effective_negatives) and effective_negatives > 0):
            return
        settings = self.settings
        error = math.log(settings.target(progress) / effective_negatives)
        change = settings.gain * min(max(error, -LARGEST_ERROR), LARGEST_ERROR)
        if settings.by == "temperature":
            low, high = math.log(settings.lowest), math.log(settings.highest)
        else:
            low, high, change = 0.0, 1.0, -change
        self.control.fill_(min(max(float(self.control) + change, low), high))
