"""No curriculum: every step is as hard as the sampler makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.curriculum.schedule import Scheduled


@dataclass(frozen=True, kw_only=True, slots=True)
class NoCurriculum:
    """The sampler's own window and margin, all of its negatives, the temperature as it is."""

    observes: ClassVar[bool] = False

    def value(self, progress: float) -> Hardness:
        """The same at any progress."""
        return Hardness()

    def build(self) -> CurriculumState:
        """A state without buffers."""
        return Scheduled(self.value)
