"""Dropout for the CPU: sixteen random bits an element, drawn many at a time, instead of a random number each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEVELS = 2**16
"""A share is rounded to this many steps; the kept elements are scaled by what it is rounded to, so the mean is exact."""


def kept(shape: torch.Size, share: float, dtype: torch.dtype) -> Tensor:
    """Factors of inverted dropout: 0 where an element is dropped, 1 / (1 - share) elsewhere; from torch's global generator."""
    number = shape.numel()
    bits = torch.empty(-(-number // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:number].view(shape)
    dropped = round(share * LEVELS)
    factors = torch.empty(shape, dtype=dtype)
    torch.ge(bits, dropped - LEVELS // 2, out=factors)
    return factors.mul_(LEVELS / (LEVELS - dropped))


def dropout_add_norm(vectors: Tensor, residual: Tensor | None, norm: torch.nn.LayerNorm, share: float) -> Tensor:
    """``norm(dropout(vectors) + residual)``, each of the three in one pass over memory."""
    if residual is not None:
        vectors = _DropoutAdd.apply(vectors, residual, share) if share else vectors + residual  # type: ignore[no-untyped-call]
    return norm(vectors)  # type: ignore[no-any-return]


def dropout(vectors: Tensor, share: float) -> Tensor:
    """Inverted dropout."""
    return vectors * kept(vectors.shape, share, vectors.dtype) if share else vectors


class _DropoutAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, residual: Tensor, share: float) -> Tensor:
        factors = kept(vectors.shape, share, vectors.dtype)
        ctx.save_for_backward(factors)
        ctx.residual_dtype = residual.dtype
        return torch.addcmul(residual, vectors, factors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (factors,) = ctx.saved_tensors
        return (gradients[0] * factors).to(factors.dtype), gradients[0].to(ctx.residual_dtype), None
