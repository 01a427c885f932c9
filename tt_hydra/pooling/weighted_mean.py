"""An average in which later positions weigh more."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tt_hydra.pooling.weighting import from_first, weighted_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedMean:
    """The position-weighted average: of n real positions the i-th, counted from 1, weighs i / (1 + 2 + ... + n).

    Source: Muennighoff, SGPT, 2022 (arXiv:2202.08904), section 3.
    """

    def build(self, dim: int) -> nn.Module:
        """A module without weights; ``dim`` is free."""
        return WeightedMeanPooling()


class WeightedMeanPooling(nn.Module):
    """See ``WeightedMean``."""

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        count = mask.sum(dim=1, keepdim=True)
        total = (count * (count + 1) / 2).clamp(min=1)
        return weighted_sum(vectors, from_first(mask) / total, mask)
