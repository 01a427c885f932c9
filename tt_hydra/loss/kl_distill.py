"""Distils a teacher's distribution over each query's positive and own negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.rated import Rated


@dataclass(frozen=True, kw_only=True, slots=True)
class KLDistill:
    """Kullback-Leibler divergence from the teacher's softmax to the student's, over the positive and the query's own negatives.

    As in RocketQAv2 (Ren et al. 2021). A teacher rates the positive and each query's own negatives (given or mined); queries without
    ratings are left out.

    Attributes:
        teacher_temperature: what the teacher's scores are divided by; larger makes it less sure of itself.
    """

    teacher_temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.teacher_temperature > 0:
            raise ConfigError(f"loss.teacher_temperature divides the teacher's scores and must be above 0; got {self.teacher_temperature}")

    @property
    def uses_temperature(self) -> bool:
        """True: the student's."""
        return True

    @property
    def uses_log_q(self) -> bool:
        """False: teacher and student see the same candidates."""
        return False

    @property
    def requires_teacher(self) -> bool:
        """True."""
        return True

    def build(self) -> KLDistill:
        """Itself: it has no weights."""
        return self

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that a teacher has rated.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, own negatives, a teacher's scores and weights.
            temperature: scalar.
        """
        rated = Rated.of(queries, items, targets)
        with torch.autocast(queries.device.type, enabled=False):
            scale = 1.0 / temperature.to(rated.student)
            student = _log_shares(rated, rated.student * scale, rated.positive * scale)
            known = torch.nan_to_num(targets.teacher.to(rated.student))
            teacher = _log_shares(rated, rated.teacher / self.teacher_temperature, known / self.teacher_temperature)
            negatives, positive = (torch.exp(theirs) * (theirs - ours) for theirs, ours in zip(teacher, student, strict=True))
            return rated.output(rated.sum(negatives) + positive, targets, temperature)


def _log_shares(rated: Rated, negatives: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Log softmax over each query's candidates: of its negatives ``(pairs,)`` and of its positive ``(batch,)``, 0 where none is rated."""
    positive = positive.masked_fill(~rated.rows, 0.0)
    normaliser = rated.normaliser(negatives, positive)
    return negatives - normaliser[rated.query], positive - normaliser
