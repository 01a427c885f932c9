"""What curricula share: their running form where they keep no state, the way between two values, and checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.errors import ConfigError

Shape = Literal["linear", "cosine"]
Window = tuple[int, int]


class Scheduled(CurriculumState):
    """A function of the progress, which is held at its ends outside [0, 1]."""

    def __init__(self, value: Callable[[float], Hardness]) -> None:
        super().__init__()
        self.value = value

    def forward(self, progress: float) -> Hardness:
        """How hard the step at ``progress`` shall be."""
        return self.value(min(max(progress, 0.0), 1.0))


def way(progress: float, until: float, shape: Shape) -> float:
    """Share of the way that is done, 0 at the first step, 1 from ``until`` on."""
    done = min(1.0, progress / until)
    return (1 - math.cos(math.pi * done)) / 2 if shape == "cosine" else done


def between(start: float, end: float, share: float) -> float:
    """The point at ``share`` of the way, exact at both ends."""
    return start * (1 - share) + end * share


def window_between(start: Window, end: Window, share: float) -> Window:
    """The window at ``share`` of the way, in whole ranks."""
    return round(between(start[0], end[0], share)), round(between(start[1], end[1], share))


def check_share(**values: float) -> None:
    """Refuses what is no share.

    Raises:
        ConfigError: names the first such key.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"curriculum.{name} is the part of the mined negatives that is used, between 0 and 1; got {value}.")


def check_window(**windows: Window | None) -> None:
    """Refuses windows that hold no rank.

    Raises:
        ConfigError: names the first such key.
    """
    for name, window in windows.items():
        if window is not None and not 1 <= window[0] <= window[1]:
            raise ConfigError(
                f"curriculum.{name} names the best and the worst rank that are drawn, counted from 1, as in [10, 50]; got {list(window)}."
            )


def check_margin(**values: float | None) -> None:
    """Refuses margins that are no finite ratio above 0.

    Raises:
        ConfigError: names the first such key.
    """
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f"curriculum.{name} is the largest allowed ratio of a negative's similarity to the positive's, above 0, such as 0.95; "
                f"got {value}."
            )


def check_factor(**values: float) -> None:
    """Refuses factors that are no finite number above 0.

    Raises:
        ConfigError: names the first such key.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"curriculum.{name} must be a finite number above 0; got {value}.")
