"""The largest value of each dimension over a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Max:
    """The maximum over the real positions, dimension by dimension."""

    def build(self, dim: int) -> nn.Module:
        """A module without weights; ``dim`` is free."""
        return MaxPooling()


class MaxPooling(nn.Module):
    """See ``Max``."""

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """``(rows, length, dim)`` and ``(rows, length)`` become ``(rows, dim)``."""
        if vectors.shape[1] == 0:
            return vectors.sum(dim=1)
        lowest = torch.finfo(vectors.dtype).min
        top = vectors.masked_fill(~mask.unsqueeze(-1), lowest).amax(dim=1)
        return top.masked_fill(~mask.any(dim=1, keepdim=True), 0.0)
