"""Margin-MSE: distils a teacher's differences between positive and negative."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.rated import Rated


@dataclass(frozen=True, kw_only=True, slots=True)
class MarginMSE:
    """Mean over a query's own negatives of ``((s_p - s_n) / temperature - (t_p - t_n))^2`` (Hofstätter et al. 2020).

    With ``metric=dot temperature.start=1`` it is the loss of the paper; with cosine the temperature stretches the similarities to the
    teacher's scale, best a learned one. A teacher rates the positive and each query's own negatives (given or mined); queries without
    ratings are left out.
    """

    @property
    def uses_temperature(self) -> bool:
        """True."""
        return True

    @property
    def uses_log_q(self) -> bool:
        """False: pairs are not normalised over candidates."""
        return False

    @property
    def requires_teacher(self) -> bool:
        """True."""
        return True

    def build(self) -> MarginMSE:
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
            margin = (rated.positive[rated.query] - rated.student) / temperature.to(rated.student)
            error = margin - (targets.teacher.to(margin)[rated.query] - rated.teacher)
            return rated.output(rated.mean(error.square()), targets, temperature)
