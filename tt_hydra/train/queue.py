"""Item vectors of earlier steps as further negatives (cross-batch memory, Wang et al. 2020)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Batch, Origin

NEAR_ONE = 1 - 1e-6
"""Largest presence that tells a rate in float32."""


class VectorQueue(nn.Module):
    """The positives' vectors of the last steps, without gradient. All of it is part of a checkpoint, and equal on every rank.

    A positive is kept as often as the batches held it, so that what is in here is as many draws from the training part; it is given
    out once, in its newest version, and only where the batch has no fresh one.

    Args:
        size: vectors that are kept; the oldest leave first.
        dim: of a vector.
        guide_width: of a guide's vectors, which are kept along; 0 without a guide.
    """

    vectors: Tensor
    guide: Tensor
    rows: Tensor
    rates: Tensor
    pushed: Tensor

    def __init__(self, size: int, dim: int, guide_width: int = 0) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("guide", torch.zeros(size, guide_width))
        self.register_buffer("rows", torch.full((size,), -1))
        self.register_buffer("rates", torch.zeros(size))
        self.register_buffer("pushed", torch.tensor(0))

    def extend(self, items: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """The batch with what is kept as further candidates, behind its own.

        Args:
            items: ``(items, dim)`` vectors of the batch's candidates.
            batch: of all ranks; its ``log_q`` are presences in the batch and in what is kept.

        Returns:
            ``(items + kept, dim)`` and the batch with as many candidates.
        """
        place = self._newest(batch.item_rows)
        rows = self.rows[place]
        draws = len(batch.positive) + int(self.pushed.clamp(max=len(self.rows)))
        extended = replace(
            batch,
            item_rows=torch.cat([batch.item_rows, rows]),
            item_keys=torch.cat([batch.item_keys, -1 - rows]),
            origin=torch.cat([batch.origin, torch.full_like(rows, int(Origin.QUEUE))]),
            log_q=torch.cat([batch.log_q, torch.log(-torch.expm1(-draws * self.rates[place]))]),
            guide=None if batch.guide is None else (batch.guide[0], torch.cat([batch.guide[1], self.guide[place]])),
        )
        return torch.cat([items, self.vectors[place].to(items)]), extended

    @torch.no_grad()
    def push(self, items: Tensor, batch: Batch) -> None:
        """Keeps the positives of a step.

        Args:
            items: ``(items, dim)`` vectors of the batch's candidates.
            batch: of all ranks, as it was before ``extend``.
        """
        size, count = len(self.rows), len(batch.positive)
        draws = count + int(self.pushed.clamp(max=size))
        positive = batch.positive[-size:]
        place = (int(self.pushed) + count - len(positive) + torch.arange(len(positive), device=positive.device)) % size
        self.vectors[place] = items.detach()[positive].to(self.vectors)
        self.rows[place] = batch.item_rows[positive]
        self.rates[place] = -torch.log1p(-batch.log_q[positive].exp().clamp(max=NEAR_ONE)) / draws
        if batch.guide is not None:
            self.guide[place] = batch.guide[1][positive].to(self.guide)
        self.pushed += count

    def _newest(self, fresh: Tensor) -> Tensor:
        """Where the newest version of each kept row stands that is not among the fresh ones."""
        size = len(self.rows)
        newest_first = (int(self.pushed) - 1 - torch.arange(min(size, int(self.pushed)), device=fresh.device)) % size
        distinct, number = torch.unique(self.rows[newest_first], return_inverse=True)
        age = torch.full_like(distinct, size).scatter_reduce(0, number, torch.arange(len(number), device=fresh.device), "amin")
        return newest_first[age[~torch.isin(distinct, fresh)]]
