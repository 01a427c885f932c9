"""What the poolings share: positions counted over real positions only, and a masked weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_sum(vectors: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Sum of the real positions' vectors, each times its weight, in at least float32 whatever autocast says.

    One batched product: no copy of the sequences, neither here nor in the backward pass.

    Args:
        vectors: ``(rows, length, dim)``; padded positions may hold any finite value.
        weights: ``(rows, length)``, bool or float; ignored at padded positions.
        mask: ``(rows, length)`` bool, true at real positions.

    Returns:
        ``(rows, dim)`` in the dtype of ``vectors``; zeros where a row has no real position.
    """
    wide = torch.promote_types(vectors.dtype, torch.float32)
    weights = weights.to(wide).masked_fill(~mask, 0.0)
    with torch.autocast(vectors.device.type, enabled=False):
        return torch.bmm(weights.unsqueeze(1), vectors.to(wide)).squeeze(1).to(vectors.dtype)


def from_first(mask: Tensor) -> Tensor:
    """1 at the first real position, 2 at the second ..., ``(rows, length)`` int64; without meaning at padded positions."""
    return mask.cumsum(dim=1)


def from_last(mask: Tensor) -> Tensor:
    """1 at the last real position, 2 at the one before ..., ``(rows, length)`` int64; without meaning at padded positions."""
    return mask.flip(1).cumsum(dim=1).flip(1)
