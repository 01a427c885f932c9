"""The softmax that the losses share: scores, mask, cross-entropy and its gradient, in bounded memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.errors import ConfigError

DEFAULT_CHUNK = 1_048_576
"""Scores held at once: 4 MiB a matrix, which stays in the cache of a CPU core and is enough work for a GPU kernel."""

MASKED = -torch.inf
"""Score of an excluded candidate. No graph ever sees it: the gradient is written down by hand, where it is a factor of exactly 0."""


def check_chunk_size(chunk_size: int) -> None:
    """Refuses a chunk size that holds no score.

    Raises:
        ConfigError: ``chunk_size`` is below 1.
    """
    if chunk_size < 1:
        raise ConfigError(
            f"loss.chunk_size is how many scores are held at once, so at least 1; got {chunk_size}. Default: {DEFAULT_CHUNK}."
        )


def softmax_loss(
    queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor, *, chunk_size: int, correct: bool = False
) -> LossOutput:
    """Weighted mean of ``-log softmax(queries @ items.T / temperature - log_q)[positive]`` over the rows that have a negative.

    A row whose candidates are all excluded but its positive says nothing: it is left out of the numerator and the denominator. Without
    any row left, or with zero total weight, the loss is 0 with zero gradients.

    Args:
        queries: ``(batch, dim)``.
        items: ``(items, dim)``.
        targets: positives, exclusions, weights, sampling probabilities.
        temperature: scalar, above 0.
        chunk_size: scores held at once; rows are taken in chunks of ``chunk_size // items``, at least one.
        correct: whether ``targets.log_q`` is subtracted; else it is not read.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, items = at_least_float32(queries), at_least_float32(items)
        scale = 1.0 / temperature.to(queries)
        offset = targets.log_q.to(queries) if correct else None
        scalars: tuple[Tensor, Tensor, Tensor] = _CrossEntropy.apply(
            queries, items, scale, targets, offset, chunk_size, torch.is_grad_enabled()
        )  # type: ignore[no-untyped-call]
    return LossOutput(*scalars)


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it is float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient along with the loss, chunk by chunk of rows, so that no ``(batch, items)`` matrix of scores is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        items: Tensor,
        scale: Tensor,
        targets: Targets,
        offset: Tensor | None,
        chunk_size: int,
        differentiable: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wants_gradient = differentiable and any(ctx.needs_input_grad)
        grad_queries, grad_items = torch.zeros_like(queries), torch.zeros_like(items)
        losses, positive, hardest = (queries.new_empty(len(queries)) for _ in range(3))
        weight = targets.weight.to(queries)
        rows_at_once = max(1, chunk_size // max(1, len(items)))
        for start in range(0, len(queries), rows_at_once):
            rows = slice(start, start + rows_at_once)
            column = targets.positive[rows, None]
            scores = queries[rows] @ items.T
            positive[rows], hardest[rows] = _mask(scores, column, targets.excluded[rows])
            scores.mul_(scale)
            if offset is not None:
                scores.sub_(offset)
            logs = torch.log_softmax(scores, dim=1)
            losses[rows] = -logs.gather(1, column).squeeze(1)
            if wants_gradient:
                row_weight = (weight[rows] * (hardest[rows] > MASKED))[:, None]
                slope = logs.exp_().mul_(row_weight).scatter_add_(1, column, -row_weight)
                torch.mm(slope, items, out=grad_queries[rows])
                grad_items.addmm_(slope.T, queries[rows])
        valid = hardest > MASKED
        effective = weight * valid
        total = effective.sum()
        share = torch.where(total > 0, 1.0 / total, torch.zeros_like(total))
        ctx.save_for_backward(grad_queries, grad_items, queries, scale, share)
        loss, mean_positive, mean_hardest = (effective @ losses) * share, positive.mean(), _mean_over(hardest, valid)
        ctx.mark_non_differentiable(mean_positive, mean_hardest)
        return loss, mean_positive, mean_hardest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_queries, grad_items, queries, scale, share = ctx.saved_tensors
        factor = upstream * share
        grad_scale = (queries * grad_queries).sum() * factor
        return grad_queries * (factor * scale), grad_items * (factor * scale), grad_scale, None, None, None, None


def _mask(scores: Tensor, column: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """Masks the scores in place; returns the positive's score and the best negative's (``MASKED`` without one) of each row."""
    positive = scores.gather(1, column)
    scores.masked_fill_(excluded, MASKED).scatter_(1, column, MASKED)
    hardest = scores.amax(dim=1)
    scores.scatter_(1, column, positive)
    return positive.squeeze(1), hardest


def _mean_over(values: Tensor, valid: Tensor) -> Tensor:
    return values.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)
