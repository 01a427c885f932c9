"""Targets seen from the positive items, which pick their queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tt_hydra.contracts import Targets


@dataclass(frozen=True, slots=True)
class ItemSide:
    """The rows are the batch's positive items, and the candidates its queries; row and column of a pair have the same number.

    Attributes:
        targets: of the queries.
        positive: ``(batch,)`` each row's own query.
        knowing: ``(pairs,)`` queries in the order of the candidates that they know.
        first: ``(items + 1,)`` where in ``knowing`` each candidate's queries begin.
    """

    targets: Targets
    positive: Tensor
    knowing: Tensor
    first: Tensor

    @classmethod
    def of(cls, targets: Targets) -> Self:
        """The other side of some targets."""
        column, order = torch.sort(targets.known[:, 1])
        bounds = torch.arange(len(targets.origin) + 1, device=column.device)
        own = torch.arange(len(targets.positive), device=column.device)
        return cls(targets, own, targets.known[order, 0], torch.searchsorted(column, bounds))

    @property
    def weight(self) -> Tensor:
        """``(batch,)`` those of the queries."""
        return self.targets.weight

    def excluded(self, rows: slice) -> Tensor:
        """``(rows, batch)`` bool, true where a query has the item as positive, knows it or has it screened, or where it is no negative."""
        targets = self.targets
        items = targets.positive[rows]
        mask = (targets.positive == items[:, None]).logical_or_((targets.origin[items] == 0)[:, None])
        if targets.screen is not None:
            mask |= targets.screen.by_column(items)
        start, count = self.first[items], self.first[items + 1] - self.first[items]
        row = torch.repeat_interleave(torch.arange(len(items), device=items.device), count)
        within = torch.arange(len(row), device=items.device) - torch.repeat_interleave(count.cumsum(0) - count, count)
        mask[row, self.knowing[start[row] + within]] = True
        return mask.scatter_(1, self.positive[rows, None], False)

    def offset(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Zeros: each query is there once for each of its examples."""
        zeros = torch.zeros(len(self.positive), device=self.positive.device)
        return zeros, zeros[rows]
