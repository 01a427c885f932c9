"""A curriculum in phases, each as hard as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.curriculum.schedule import Scheduled, Window, check_factor, check_margin, check_share, check_window
from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """How hard the steps from one moment on are.

    Attributes:
        start: progress in [0, 1] at which it begins; it lasts until the next one.
        share: part of the mined negatives that is used.
        window: ranks (best, worst) that are drawn; None for the sampler's own.
        margin: largest allowed ratio of a mined negative's similarity to the positive's; None for the sampler's own.
        temperature: factor on the temperature.
    """

    start: float = 0.0
    share: float = 1.0
    window: Window | None = None
    margin: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_share(share=self.share)
        check_window(window=self.window)
        check_margin(margin=self.margin)
        check_factor(temperature=self.temperature)

    def hardness(self) -> Hardness:
        """What it asks for."""
        return Hardness(share=self.share, window=self.window, margin=self.margin, temperature=self.temperature)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One phase after the other.

    Attributes:
        phases: in ascending order of their start; the first one begins at 0.
    """

    phases: tuple[Phase, ...] = (Phase(share=0.0), Phase(start=0.3, window=(31, 100)), Phase(start=0.7, window=(1, 30)))
    observes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        starts = [phase.start for phase in self.phases]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] > 1:
            raise ConfigError(
                f"curriculum.phases begin at 0 and follow each other, each with a later start of at most 1; got starts {starts}."
            )

    def value(self, progress: float) -> Hardness:
        """That of the phase which a progress in [0, 1] lies in."""
        return next(phase for phase in reversed(self.phases) if phase.start <= progress).hardness()

    def build(self) -> CurriculumState:
        """A state without buffers."""
        return Scheduled(self.value)
