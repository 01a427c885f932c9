"""The plain average of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tt_hydra.pooling.weighting import weighted_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """The average over the real positions, divided by their number and not by the padded length."""

    def build(self, dim: int) -> nn.Module:
        """A module without weights; ``dim`` is free."""
        return MeanPooling()


class MeanPooling(nn.Module):
    """See ``Mean``."""

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        share = 1.0 / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return weighted_sum(vectors, share.expand(mask.shape), mask)
