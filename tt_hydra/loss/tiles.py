"""Objectives over all pairs of a batch, some rows of scores at a time: masks, weights and gradients in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tt_hydra.contracts import LossOutput
from tt_hydra.errors import ConfigError

DEFAULT_CHUNK = 262_144
"""Scores held at once: 1 MiB a matrix, of which the few that are needed stay in the cache of a CPU core."""

LEAST_ROWS = 64
"""Rows held at once where ``chunk_size`` allows fewer: matrix products of less rows spend their time on reading the items."""

MASKED = -1e30
"""Similarity of an excluded candidate: finite, so that no temperature turns it into NaN, and its share of a softmax is exactly 0."""


class Candidates(Protocol):
    """What is read of ``Targets``: each row's positive column, weight, and a tile's masks and sampling probabilities."""

    @property
    def positive(self) -> Tensor:
        """``(batch,)`` int64 columns."""

    @property
    def weight(self) -> Tensor:
        """``(batch,)`` float32."""

    def excluded(self, rows: slice) -> Tensor:
        """``(rows, items)`` bool, true where a candidate is no negative of the query; false at the positive."""

    def offset(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Log sampling probabilities ``(items,)`` of the negatives of some rows, and ``(rows,)`` of their positives."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Some rows of scores.

    Attributes:
        rows: which.
        logits: ``(rows, items)`` scaled and shifted similarities of the negatives; far below any other where a candidate is none.
        positive: ``(rows,)`` those of the positives.
        column: ``(rows, 1)`` the positives' columns.
        excluded: ``(rows, items)`` bool, which candidates are no negatives; true at the positive.
    """

    rows: slice
    logits: Tensor
    positive: Tensor
    column: Tensor
    excluded: Tensor


@dataclass(frozen=True, slots=True)
class Slopes:
    """What an objective says of a tile.

    Attributes:
        losses: ``(rows,)``.
        negative: ``(rows, items)`` derivative of a row's loss by each logit; 0 where a candidate is no negative, anything at the positive.
        positive: ``(rows,)`` derivative by the positive's logit.
        effective: ``(rows,)`` effective number of negatives; None where the objective knows no temperature.
    """

    losses: Tensor
    negative: Tensor
    positive: Tensor
    effective: Tensor | None


Objective = Callable[[Tile], Slopes]
"""A row-wise objective: in every row at least one candidate is a negative, or what it says is not used. It may overwrite ``logits``."""


def check_chunk_size(chunk_size: int) -> None:
    """Refuses a chunk size that holds no score.

    Raises:
        ConfigError: ``chunk_size`` is below 1.
    """
    if chunk_size < 1:
        raise ConfigError(
            f"loss.chunk_size is how many scores are held at once, so at least 1; got {chunk_size}. Default: {DEFAULT_CHUNK}."
        )


def tiles(rows: int, items: int, chunk_size: int) -> list[slice]:
    """Consecutive rows that hold about ``chunk_size`` scores, but ``LEAST_ROWS`` rows where there are as many."""
    at_once = max(LEAST_ROWS, chunk_size // max(1, items))
    return [slice(start, min(start + at_once, rows)) for start in range(0, rows, at_once)]


def tiled_loss(
    queries: Tensor,
    items: Tensor,
    targets: Candidates,
    objective: Objective,
    *,
    scale: Tensor,
    shift: Tensor | None = None,
    chunk_size: int = DEFAULT_CHUNK,
) -> LossOutput:
    """Weighted mean of a row-wise objective over the rows that have a negative, in float32 whatever the vectors are.

    A row whose candidates are all excluded but its positive says nothing: it is left out of the numerator and the denominator. Without
    any row left, or with zero total weight, the loss is 0 with zero gradients.

    Args:
        queries: ``(batch, dim)``.
        items: ``(items, dim)``.
        targets: positives, exclusions, weights.
        objective: what is computed from ``scale * similarity + shift``.
        scale: scalar, the inverse of a temperature.
        shift: scalar; None for 0.
        chunk_size: scores held at once.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, items = at_least_float32(queries), at_least_float32(items)
        shift = queries.new_zeros(()) if shift is None else shift
        work = _Work(targets, objective, tiles(len(queries), len(items), chunk_size), torch.is_grad_enabled())
        numbers: tuple[Tensor, Tensor, Tensor, Tensor] = _Tiled.apply(queries, items, scale.to(queries), shift.to(queries), work)  # type: ignore[no-untyped-call]
    return LossOutput(*numbers)


def inverse(temperature: Tensor, like: Tensor) -> Tensor:
    """The scale that a temperature stands for, in the precision of ``like`` but at least float32."""
    return 1.0 / temperature.to(torch.promote_types(like.dtype, torch.float32))


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32, or as it is where it is float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def effective_number(logits: Tensor) -> Tensor:
    """Exp of the entropy of each row's softmax: as many equal logits have it.

    Args:
        logits: ``(rows, items)``, far below any other where a candidate does not count.
    """
    return effective_of(logits, *softmax(logits))


def effective_of(logits: Tensor, probability: Tensor, normaliser: Tensor) -> Tensor:
    """The same, of a softmax that is known already."""
    return torch.exp(normaliser - torch.linalg.vecdot(probability, logits))


def softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's softmax and its log normaliser, read off the largest entry: half the passes of a logsumexp and an exp."""
    probability = torch.softmax(logits, dim=1)
    return probability, logits.amax(dim=1) - probability.amax(dim=1).log_()


@dataclass(frozen=True, slots=True)
class _Work:
    targets: Candidates
    objective: Objective
    tiles: list[slice]
    differentiable: bool


class _Tiled(torch.autograd.Function):
    """Computes the gradient along with the loss, tile by tile, so that no ``(batch, items)`` matrix is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        items: Tensor,
        scale: Tensor,
        shift: Tensor,
        work: _Work,
    ) -> tuple[Tensor, ...]:
        gradient = _Gradient(queries, items) if work.differentiable and any(ctx.needs_input_grad) else None
        losses, positive, hardest, effective = (queries.new_full((len(queries),), torch.nan) for _ in range(4))
        weight = work.targets.weight.to(queries)
        for rows in work.tiles:
            tile, positive[rows], hardest[rows] = _scores(queries[rows] @ items.T, work.targets, rows, scale, shift)
            slopes = work.objective(tile)
            losses[rows] = slopes.losses
            if slopes.effective is not None:
                effective[rows] = slopes.effective
            if gradient is not None:
                gradient.add(tile, slopes, weight[rows] * _valid(hardest[rows]))
        valid = _valid(hardest)
        counted = weight * valid
        total = counted.sum()
        share = torch.where(total > 0, 1.0 / total, torch.zeros_like(total))
        if gradient is not None:
            ctx.save_for_backward(gradient.queries, gradient.items, gradient.shift, queries, scale, share)
        figures = positive.mean(), _mean_over(hardest, valid), _mean_over(effective, valid)
        ctx.mark_non_differentiable(*figures)
        return counted @ losses * share, *figures

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        by_query, by_item, by_shift, queries, scale, share = ctx.saved_tensors
        factor = upstream * share
        by_scale = (queries * by_query).sum() * factor
        return by_query * (factor * scale), by_item * (factor * scale), by_scale, by_shift * factor, None


class _Gradient:
    """Sums over the tiles: derivatives of the sum of the weighted losses, before the scale."""

    def __init__(self, queries: Tensor, items: Tensor) -> None:
        self.queries, self.items, self.shift = torch.zeros_like(queries), torch.zeros_like(items), queries.new_zeros(())
        self._by, self._vectors = queries, items

    def add(self, tile: Tile, slopes: Slopes, weight: Tensor) -> None:
        """Adds a tile; ``weight`` is 0 for rows that do not count."""
        slope = slopes.negative.scatter_(1, tile.column, slopes.positive[:, None]).mul_(weight[:, None])
        torch.mm(slope, self._vectors, out=self.queries[tile.rows])
        self.items.addmm_(slope.T, self._by[tile.rows])
        self.shift += slope.sum()


def _scores(similarity: Tensor, targets: Candidates, rows: slice, scale: Tensor, shift: Tensor) -> tuple[Tile, Tensor, Tensor]:
    """The tile of similarities that are overwritten, and before scaling each row's positive's and hardest negative's."""
    column = targets.positive[rows, None]
    positive = similarity.gather(1, column).squeeze(1)
    excluded = targets.excluded(rows).scatter_(1, column, True)
    hardest = similarity.masked_fill_(excluded, MASKED).amax(dim=1)
    logits = similarity.mul_(scale).add_(shift)
    logits[~_valid(hardest)] = 0.0
    return Tile(rows, logits, positive * scale + shift, column, excluded), positive, hardest


def _valid(hardest: Tensor) -> Tensor:
    return hardest > MASKED / 2


def _mean_over(values: Tensor, valid: Tensor) -> Tensor:
    return values.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)
