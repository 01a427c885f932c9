"""The last position of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tt_hydra.pooling.weighting import from_last, weighted_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Last:
    """The vector of the last real position: a decoder's final token, or a history's newest item."""

    def build(self, dim: int) -> nn.Module:
        """A module without weights; ``dim`` is free."""
        return LastPooling()


class LastPooling(nn.Module):
    """See ``Last``."""

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        return weighted_sum(vectors, from_last(mask) == 1, mask)
