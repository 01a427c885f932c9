"""Self-attention over packed sequences, forward and backward by hand, for the CPU: sequences of like lengths are computed together."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tt_hydra.tower.dropout import kept

STEP = 16
"""Lengths are padded to multiples of this: for every shape there are calls to make, and a kernel to be compiled before the first."""


class Block(NamedTuple):
    """Neighbouring sequences, padded to one length: ``number * length`` rows of a padded tensor from ``start`` on.

    Attributes:
        hidden: ``(number, 1, 1, length)``, true where there is padding; None where there is none.
    """

    start: int
    number: int
    length: int
    hidden: Tensor | None

    def of(self, padded: Tensor) -> Tensor:
        """The block's rows of a tensor as ``(number, length, ...)``."""
        rows = padded[self.start : self.start + self.number * self.length]
        return rows.view(self.number, self.length, *padded.shape[1:])


class Layout(NamedTuple):
    """How packed rows are put into blocks, and back.

    Attributes:
        blocks: of all sequences.
        places: ``(padded rows,)``, of each the packed row; for padding it is the first behind all sequences.
        back: ``(packed rows,)``, of each the padded row; for those behind all sequences it is one more than the last.
    """

    blocks: list[Block]
    places: Tensor
    back: Tensor

    def empty(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """A padded tensor to be filled, ``(padded rows + 1, *shape)``; its last row is zero."""
        result = torch.empty(len(self.places) + 1, *shape, dtype=dtype)
        result[-1] = 0
        return result


def layout_of(lengths: list[int], rows: int) -> Layout:
    """The layout of sequences that follow each other with the given lengths in ``rows``, of which at least one must be left over."""
    blocks: list[Block] = []
    places: list[Tensor] = [torch.empty(0, dtype=torch.int64)]
    tokens, begun, start = sum(lengths), 0, 0
    for length, group in groupby(filter(None, lengths), lambda each: -(-each // STEP) * STEP):
        sizes = torch.tensor(list(group))
        positions = torch.arange(length)
        hidden = positions >= sizes[:, None]
        first = begun + sizes.cumsum(0) - sizes
        places.append((first[:, None] + positions).masked_fill(hidden, tokens).flatten())
        blocks.append(Block(start, len(sizes), length, hidden[:, None, None] if hidden.any() else None))
        begun, start = begun + int(sizes.sum()), start + hidden.numel()
    joined = torch.cat(places)
    back = torch.empty(rows, dtype=torch.int64)
    back[joined] = torch.arange(start)
    back[tokens:] = start
    return Layout(blocks, joined, back)


def attend(qkv: Tensor, layout: Layout, dropout: float) -> Tensor:
    """Scaled dot-product attention of every sequence to itself.

    Args:
        qkv: ``(rows, 3, heads, head width)`` queries, keys and values.
        layout: of the sequences in these rows.
        dropout: share of the attention weights that are dropped.

    Returns:
        ``(rows, heads * head width)``; zeros behind all sequences.
    """
    if dropout or (torch.is_grad_enabled() and qkv.requires_grad):  # with and without gradient the same weights are dropped
        return _Attention.apply(qkv, layout, dropout)  # type: ignore[no-any-return, no-untyped-call]
    with torch.autocast("cpu", enabled=False):
        return _forward_only(qkv, layout, dropout)


def _forward_only(qkv: Tensor, layout: Layout, dropout: float) -> Tensor:
    padded, mixed = qkv.index_select(0, layout.places), layout.empty(*qkv.shape[2:], dtype=qkv.dtype)
    for block in layout.blocks:
        queries, keys, values = (part.transpose(1, 2) for part in block.of(padded).unbind(2))
        visible = None if block.hidden is None else ~block.hidden
        vectors = scaled_dot_product_attention(queries, keys, values, visible, dropout)
        block.of(mixed).copy_(vectors.transpose(1, 2))
    return mixed.index_select(0, layout.back).flatten(1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, layout: Layout, dropout: float) -> Tensor:
        ctx.layout, ctx.heads, ctx.scale, ctx.saved = layout, qkv.shape[2:], qkv.shape[3] ** -0.5, []
        padded, mixed = qkv.index_select(0, layout.places), layout.empty(*qkv.shape[2:], dtype=qkv.dtype)
        with torch.autocast("cpu", enabled=False):
            for block in layout.blocks:
                queries, keys, values = _heads(padded, block)
                weights = _weights(queries.mul_(ctx.scale), keys, block.hidden)
                keep = kept(weights.shape, dropout, weights.dtype) if dropout else None
                ctx.saved.append((queries, keys, values, weights, keep))
                _put(mixed, block, torch.bmm(weights if keep is None else weights * keep, values))
        return mixed.index_select(0, layout.back).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        layout: Layout = ctx.layout
        upstream = gradients[0].view(-1, 1, *ctx.heads).index_select(0, layout.places)
        result = layout.empty(3, *ctx.heads, dtype=upstream.dtype)
        with torch.autocast("cpu", enabled=False):
            for block, (queries, keys, values, weights, keep) in zip(layout.blocks, ctx.saved, strict=True):
                (above,) = _heads(upstream, block)
                dropped = weights if keep is None else weights * keep
                to_weights = torch.bmm(above, values.transpose(1, 2))
                if keep is not None:
                    to_weights.mul_(keep)
                to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
                _put(result[:, 0], block, torch.bmm(to_scores, keys).mul_(ctx.scale))
                _put(result[:, 1], block, torch.bmm(to_scores.transpose(1, 2), queries))
                _put(result[:, 2], block, torch.bmm(dropped.transpose(1, 2), above))
        return result.index_select(0, layout.back), None, None


def _weights(queries: Tensor, keys: Tensor, hidden: Tensor | None) -> Tensor:
    scores = torch.bmm(queries, keys.transpose(1, 2))
    if hidden is not None:
        scores.view(len(hidden), -1, *scores.shape[1:]).masked_fill_(hidden, -torch.inf)
    return scores.softmax(dim=-1)


def _heads(padded: Tensor, block: Block) -> tuple[Tensor, ...]:
    """Each of the parts of ``(padded rows, parts, heads, width)`` as ``(number * heads, length, width)``."""
    return tuple(part.transpose(1, 2).flatten(0, 1) for part in block.of(padded).unbind(2))


def _put(padded: Tensor, block: Block, vectors: Tensor) -> None:
    """Writes ``(number * heads, length, width)`` into rows of ``(padded rows, heads, width)``."""
    block.of(padded).copy_(vectors.view(block.number, -1, *vectors.shape[1:]).transpose(1, 2))
