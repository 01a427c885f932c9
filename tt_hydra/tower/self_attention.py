"""Self-attention over a history."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.contracts import Padded, Pooling
from tt_hydra.pooling.weighting import from_last
from tt_hydra.tower.features import INITIAL_STD
from tt_hydra.tower.spec import Block, HistoryEncoder, Layout, look_up, width_of


class SelfAttentiveHistory(HistoryEncoder):
    """Item vectors with positions counted from the newest, through pre-norm transformer blocks, pooled.

    Source: Kang and McAuley, Self-attentive sequential recommendation, 2018 (arXiv:1808.09781).

    Args:
        items: layout of the item vectors.
        blocks: transformer blocks of one width.
        positions: positions that are told apart; older items share the last one.
        causal: whether a position sees only itself and older ones.
        pooling: joins the positions' vectors.
    """

    def __init__(self, items: Layout, blocks: list[AttentionBlock], positions: int, causal: bool, pooling: Pooling) -> None:
        super().__init__()
        dim = blocks[0].dim
        self.layout = (Block(dim),)
        self.causal = causal
        self.map = nn.Linear(width_of(items), dim, bias=False)
        self.positions = nn.Parameter(torch.randn(positions, dim) * INITIAL_STD)
        self.drop = nn.Dropout(blocks[0].dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim)
        self.pool = pooling.build(dim)

    def forward(self, positions: Padded, items: Tensor) -> Tensor:
        """Vectors ``(rows, width)``; zeros for an empty history."""
        mask = positions.mask
        age = (from_last(mask) - 1).clamp(0, len(self.positions) - 1)
        vectors = self.drop(look_up(self.map(items), positions) + functional.embedding(age, self.positions))
        visible = self._visible(mask)
        for block in self.blocks:
            vectors = block(vectors, visible)
        return cast(Tensor, self.pool(self.norm(vectors), mask))

    def _visible(self, mask: Tensor) -> Tensor:
        """``(rows, 1, length, length)``: what each position sees. All see themselves, so that a padded one is no 0/0."""
        square = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device)
        seen = mask[:, None, None, :] & square.tril() if self.causal else mask[:, None, None, :]
        return seen | torch.eye(len(square), dtype=torch.bool, device=mask.device)


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and feed-forward layer, each with a residual path."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.attention_norm, self.feed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, visible: Tensor) -> Tensor:
        """``(rows, length, dim)`` stays so; ``visible`` is true where a position (second to last axis) may see another (last)."""
        vectors = vectors + self.drop(self._attend(self.attention_norm(vectors), visible))
        return vectors + cast(Tensor, self.drop(self.feed(self.feed_norm(vectors))))

    def _attend(self, vectors: Tensor, visible: Tensor) -> Tensor:
        rows, length, dim = vectors.shape
        query, key, value = self.qkv(vectors).view(rows, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, dropout_p=dropout)
        return cast(Tensor, self.out(attended.transpose(1, 2).reshape(rows, length, dim)))
