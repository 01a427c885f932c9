"""Encoders without context between positions: each token or item has a vector, and the pooling joins them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Padded, Pooling
from tt_hydra.tower.features import INITIAL_STD
from tt_hydra.tower.spec import Block, HistoryEncoder, Layout, RowTable, TextEncoder, look_up, width_of


class HashedText(RowTable, TextEncoder):
    """A table of bucket vectors, pooled."""

    def __init__(self, buckets: int, dim: int, pooling: Pooling) -> None:
        super().__init__()
        self.width = dim
        self.weight = nn.Parameter(torch.randn(buckets, dim) * INITIAL_STD)
        self.pool = pooling.build(dim)

    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens."""
        return cast(Tensor, self.pool(look_up(self.weight, tokens, self.sparse), tokens.mask))


class PooledHistory(HistoryEncoder):
    """Item vectors, through a linear map of the query side's own or as they are, pooled.

    The map is applied to the distinct items before they are laid out as sequences, which costs a fraction and, for a linear
    pooling, gives the same.

    Attributes:
        layout: one block of width ``dim``, or the items' own layout where ``dim`` is None and there is no map.
    """

    def __init__(self, items: Layout, dim: int | None, pooling: Pooling) -> None:
        super().__init__()
        self.layout = items if dim is None else (Block(dim),)
        self.map = nn.Identity() if dim is None else nn.Linear(width_of(items), dim, bias=False)
        self.pool = pooling.build(width_of(self.layout))

    def forward(self, positions: Padded, items: Tensor) -> Tensor:
        """Vectors ``(rows, width)``; zeros for an empty history."""
        return cast(Tensor, self.pool(look_up(self.map(items), positions), positions.mask))
