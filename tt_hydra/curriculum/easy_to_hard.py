"""A curriculum that moves steadily from few and easy mined negatives to many and hard ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tt_hydra.contracts import CurriculumState, Hardness
from tt_hydra.curriculum.schedule import Scheduled, Shape, Window, between, check_margin, check_share, check_window, way, window_between
from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EasyToHard:
    """Share, rank window and margin each go from a start to an end (too hard too early is worse than none: Qu et al. 2021).

    Attributes:
        share_start: part of the mined negatives that is used at the first step.
        share_end: the same at the end.
        window_start: ranks (best, worst) that are drawn at the first step.
        window_end: the same at the end.
        margin_start: largest allowed ratio of a mined negative's similarity to the positive's at the first step; None, together with
            ``margin_end``, for the sampler's own.
        margin_end: the same at the end.
        shape: linear, or cosine: slowly at both ends.
        until: progress in (0, 1] at which the end is reached.
    """

    share_start: float = 0.0
    share_end: float = 1.0
    window_start: Window = (51, 100)
    window_end: Window = (1, 30)
    margin_start: float | None = None
    margin_end: float | None = None
    shape: Shape = "linear"
    until: float = 0.8
    observes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(share_start=self.share_start, share_end=self.share_end)
        check_window(window_start=self.window_start, window_end=self.window_end)
        check_margin(margin_start=self.margin_start, margin_end=self.margin_end)
        if (self.margin_start is None) != (self.margin_end is None):
            raise ConfigError("curriculum.margin_start and curriculum.margin_end are given together, or both null for the sampler's own.")
        if not 0 < self.until <= 1:
            raise ConfigError(f"curriculum.until is the progress at which the end is reached, above 0 and at most 1; got {self.until}.")

    def value(self, progress: float) -> Hardness:
        """How hard a step at a progress in [0, 1] shall be."""
        done = way(progress, self.until, self.shape)
        known = self.margin_start is not None and self.margin_end is not None
        return Hardness(
            share=between(self.share_start, self.share_end, done),
            window=window_between(self.window_start, self.window_end, done),
            margin=between(self.margin_start, self.margin_end, done) if known else None,  # type: ignore[arg-type]
        )

    def build(self) -> CurriculumState:
        """A state without buffers."""
        return Scheduled(self.value)
