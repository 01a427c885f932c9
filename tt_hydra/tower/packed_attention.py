"""Self-attention over packed sequences: no padding, forward and backward by hand, for the CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from tt_hydra.tower.dropout import kept


class Run(NamedTuple):
    """Neighbouring sequences of one length in a packed tensor: ``count * length`` rows from ``start`` on."""

    start: int
    number: int
    length: int

    @property
    def rows(self) -> slice:
        """Where the run stands."""
        return slice(self.start, self.start + self.number * self.length)


def runs_of(lengths: list[int]) -> list[Run]:
    """The runs of sequences that follow each other with the given lengths; empty sequences take no row."""
    runs: list[Run] = []
    start = 0
    for length in lengths:
        if runs and runs[-1].length == length:
            runs[-1] = runs[-1]._replace(number=runs[-1].number + 1)
        elif length:
            runs.append(Run(start, 1, length))
        start += length
    return runs


def attend(qkv: Tensor, runs: list[Run], dropout: float) -> Tensor:
    """Scaled dot-product attention of every sequence to itself.

    Args:
        qkv: ``(tokens, 3, heads, head width)`` queries, keys and values.
        runs: the sequences.
        dropout: share of the attention weights that are dropped.

    Returns:
        ``(tokens, heads * head width)``.
    """
    if torch.is_grad_enabled() and qkv.requires_grad:
        return _Attention.apply(qkv, runs, dropout)  # type: ignore[no-any-return, no-untyped-call]
    with torch.autocast("cpu", enabled=False):
        return _forward_only(qkv, runs, dropout)


def _forward_only(qkv: Tensor, runs: list[Run], dropout: float) -> Tensor:
    mixed = torch.empty(len(qkv), qkv.shape[2], qkv.shape[3], dtype=qkv.dtype)
    for run in runs:
        queries, keys, values = (part.transpose(1, 2) for part in _sequences(qkv, run).unbind(2))
        vectors = torch.nn.functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)
        _sequences(mixed, run).copy_(vectors.transpose(1, 2))
    return mixed.flatten(1)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, runs: list[Run], dropout: float) -> Tensor:
        ctx.runs, ctx.scale, ctx.saved = runs, qkv.shape[3] ** -0.5, []
        ctx.save_for_backward(qkv)
        mixed = torch.empty(len(qkv), qkv.shape[2], qkv.shape[3], dtype=qkv.dtype)
        with torch.autocast("cpu", enabled=False):
            for run in runs:
                queries, keys, values = _heads(qkv, run)
                weights = torch.bmm(queries, keys.transpose(1, 2)).mul_(ctx.scale).softmax(dim=-1)
                keep = kept(weights.shape, dropout, weights.dtype) if dropout else None
                ctx.saved.append((weights, keep))
                _put(mixed, run, torch.bmm(weights if keep is None else weights * keep, values))
        return mixed.flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (qkv,) = ctx.saved_tensors
        upstream = gradients[0].view(len(qkv), qkv.shape[2], qkv.shape[3])
        result = torch.empty_like(qkv)
        with torch.autocast("cpu", enabled=False):
            for run, (weights, keep) in zip(ctx.runs, ctx.saved, strict=True):
                queries, keys, values = _heads(qkv, run)
                (above,) = _heads(upstream.unsqueeze(1), run)
                dropped = weights if keep is None else weights * keep
                to_weights = torch.bmm(above, values.transpose(1, 2))
                if keep is not None:
                    to_weights.mul_(keep)
                to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype).mul_(ctx.scale)
                _put(result[:, 0], run, torch.bmm(to_scores, keys))
                _put(result[:, 1], run, torch.bmm(to_scores.transpose(1, 2), queries))
                _put(result[:, 2], run, torch.bmm(dropped.transpose(1, 2), above))
        return result, None, None


def _sequences(packed: Tensor, run: Run) -> Tensor:
    """A run's rows as ``(number, length, ...)``."""
    return packed[run.rows].view(run.number, run.length, *packed.shape[1:])


def _heads(packed: Tensor, run: Run) -> tuple[Tensor, ...]:
    """Each of the parts of ``(tokens, parts, heads, width)`` as ``(number * heads, length, width)``."""
    return tuple(part.transpose(1, 2).flatten(0, 1) for part in _sequences(packed, run).unbind(2))


def _put(packed: Tensor, run: Run, vectors: Tensor) -> None:
    """Writes ``(number * heads, length, width)`` into rows of ``(tokens, heads, width)``."""
    _sequences(packed, run).copy_(vectors.view(run.number, -1, *vectors.shape[1:]).transpose(1, 2))
