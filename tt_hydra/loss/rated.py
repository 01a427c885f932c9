"""Pairs that a teacher has rated: similarities of single pairs, and sums over each query's pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.tiles import DEFAULT_CHUNK, at_least_float32, tiles


@dataclass(frozen=True, slots=True)
class Rated:
    """The queries whose positive a teacher has rated, with at least one negative of their own that it rated too.

    Attributes:
        query: ``(pairs,)`` query of each negative.
        teacher: ``(pairs,)`` its rating.
        student: ``(pairs,)`` its similarity.
        positive: ``(batch,)`` similarity of each query's positive.
        rows: ``(batch,)`` bool, which queries these are.
    """

    query: Tensor
    teacher: Tensor
    student: Tensor
    positive: Tensor
    rows: Tensor

    @classmethod
    def of(cls, queries: Tensor, items: Tensor, targets: Targets) -> Rated:
        """The rated pairs of a batch; a negative that is excluded is none.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, own negatives and a teacher's scores.
        """
        own, batch = targets.own, len(queries)
        kept = ~torch.isnan(own.teacher) & ~torch.isnan(targets.teacher[own.query]) & ~_excluded(targets, len(items))
        query, column = own.query[kept], own.column[kept]
        everyone = torch.arange(batch, device=query.device)
        similarity = _pairs(queries, items, torch.cat([everyone, query]), torch.cat([targets.positive, column]))
        rows = torch.bincount(query, minlength=batch) > 0
        return cls(query, own.teacher[kept].to(similarity), similarity[batch:], similarity[:batch], rows)

    def sum(self, values: Tensor) -> Tensor:
        """``(batch,)`` sums of ``values (pairs,)`` over each query's negatives."""
        return values.new_zeros(len(self.rows)).index_add(0, self.query, values)

    def mean(self, values: Tensor) -> Tensor:
        """``(batch,)`` means likewise, 0 without negatives."""
        return self.sum(values) / self.sum(torch.ones_like(values)).clamp(min=1)

    def normaliser(self, logits: Tensor, positive: Tensor | None = None) -> Tensor:
        """``(batch,)`` log of the sum of exp of ``logits (pairs,)``, with ``positive (batch,)`` as one more of each query's."""
        if positive is not None:
            positive = positive.masked_fill(~self.rows, 0.0)
        start = logits.new_full((len(self.rows),), -torch.inf) if positive is None else positive
        highest = start.detach().scatter_reduce(0, self.query, logits.detach(), "amax")
        highest = highest.masked_fill(~self.rows, 0.0)
        total = self.sum(torch.exp(logits - highest[self.query]))
        return highest + torch.log(torch.where(self.rows, total if positive is None else total + torch.exp(positive - highest), 1.0))

    def output(self, losses: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean of ``losses (batch,)`` over these queries, with the figures of their own negatives."""
        weight = targets.weight.to(losses) * self.rows
        total = weight.sum()
        share = torch.where(total > 0, 1.0 / total, 0.0)
        with torch.no_grad():
            logits = self.student / temperature.to(self.student)
            normaliser = self.normaliser(logits)
            entropy = normaliser - self.sum(torch.exp(logits - normaliser[self.query]) * logits)
            hardest = self.positive.new_full(self.rows.shape, -torch.inf).scatter_reduce(0, self.query, self.student, "amax")
        loss = (weight * torch.where(self.rows, losses, 0.0)).sum() * share
        return LossOutput(loss, self.positive.detach().mean(), self._over(hardest), self._over(entropy.exp()))

    def _over(self, values: Tensor) -> Tensor:
        return values.masked_fill(~self.rows, 0.0).sum() / self.rows.sum().clamp(min=1)


def _excluded(targets: Targets, items: int) -> Tensor:
    """``(pairs,)`` bool, which of the own negatives may not serve as negatives, looked up by the tile."""
    own, parts = targets.own, tiles(len(targets.positive), items, DEFAULT_CHUNK)
    bounds = torch.searchsorted(own.query, torch.tensor([0, *(rows.stop for rows in parts)], device=own.query.device)).tolist()
    found = own.column == targets.positive[own.query]
    for rows, (first, last) in zip(parts, pairwise(bounds), strict=True):
        if first < last:
            found[first:last] |= targets.excluded(rows)[own.query[first:last] - rows.start, own.column[first:last]]
    return found


def _pairs(queries: Tensor, items: Tensor, query: Tensor, column: Tensor) -> Tensor:
    """``(pairs,)`` similarities in float32 whatever the vectors are, in bounded memory."""
    with torch.autocast(queries.device.type, enabled=False):
        similarity: Tensor = _Similarity.apply(at_least_float32(queries), at_least_float32(items), query, column)  # type: ignore[no-untyped-call]
    return similarity


class _Similarity(torch.autograd.Function):
    """Dot products of single pairs, which keeps no ``(pairs, dim)`` matrix for the backward pass."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, items: Tensor, query: Tensor, column: Tensor) -> Tensor:
        ctx.save_for_backward(queries, items, query, column)
        parts = tiles(len(query), queries.shape[1], DEFAULT_CHUNK)
        dots = [(queries[query[part]] * items[column[part]]).sum(dim=1) for part in parts]
        return torch.cat([queries.new_zeros(0), *dots])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        queries, items, query, column = ctx.saved_tensors
        by_query, by_item = torch.zeros_like(queries), torch.zeros_like(items)
        for part in tiles(len(query), queries.shape[1], DEFAULT_CHUNK):
            slope = upstream[part, None]
            by_query.index_add_(0, query[part], slope * items[column[part]])
            by_item.index_add_(0, column[part], slope * queries[query[part]])
        return by_query, by_item, None, None
