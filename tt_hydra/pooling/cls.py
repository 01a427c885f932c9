"""The first position of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from tt_hydra.pooling.weighting import from_first, weighted_sum


@dataclass(frozen=True, kw_only=True, slots=True)
class Cls:
    """The vector of the first real position: a BERT's ``[CLS]`` token, or a history's oldest item."""

    def build(self, dim: int) -> nn.Module:
        """A module without weights; ``dim`` is free."""
        return ClsPooling()


class ClsPooling(nn.Module):
    """See ``Cls``."""

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        return weighted_sum(vectors, from_first(mask) == 1, mask)
