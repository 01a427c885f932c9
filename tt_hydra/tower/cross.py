"""Explicit products of features: the cross network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class CrossLayer(nn.Module):
    """``x0 * (W x + b) + x``: products of the input's features with those of ``x``, one degree above it.

    ``W`` (its left factor, where it has a rank) starts at zero: an untrained layer hands ``x`` on.

    Source: Wang et al., DCN V2: Improved deep and cross network, 2021 (arXiv:2008.13535), equations 1 and 2.

    Args:
        width: of ``x`` and ``x0``.
        rank: of ``W``, which then has ``2 * width * rank`` weights; None for a full matrix.
    """

    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        self.reduce = nn.Identity() if rank is None else nn.Linear(width, rank, bias=False)
        self.expand = nn.Linear(width if rank is None else rank, width)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, first: Tensor, vectors: Tensor) -> Tensor:
        """``x0`` and ``x``, both ``(rows, width)``, become ``(rows, width)``."""
        return torch.addcmul(vectors, first, cast(Tensor, self.expand(self.reduce(vectors))))


class CrossNetwork(nn.Module):
    """Cross layers one after the other, each with the input as its first factor: ``n`` of them give products of ``n + 1`` features."""

    def __init__(self, width: int, layers: int, rank: int | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(width, rank) for _ in range(layers))

    def forward(self, first: Tensor) -> Tensor:
        """``(rows, width)`` stays so."""
        vectors = first
        for layer in self.layers:
            vectors = layer(first, vectors)
        return vectors
