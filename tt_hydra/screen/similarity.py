"""Candidates that some model holds for as close to a query as its positive, or nearly so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tt_hydra.errors import ConfigError

Kind = Literal["absolute", "relative"]
ROUNDING = 1e-6
"""What equal vectors' similarities may differ by between two tiles, as a share of the positive's."""


@dataclass(frozen=True, slots=True)
class SimilarityScreen:
    """Leaves out each candidate whose similarity to the query exceeds the query's limit.

    Attributes:
        queries: ``(batch, width)`` without gradient.
        items: ``(items, width)`` without gradient.
        limit: ``(batch,)``.
    """

    queries: Tensor
    items: Tensor
    limit: Tensor

    def __call__(self, rows: slice) -> Tensor:
        """``(rows, items)`` bool, true where a candidate is left out for these queries."""
        with torch.autocast(self.items.device.type, enabled=False):
            return self.queries[rows] @ self.items.T > self.limit[rows, None]

    def by_column(self, columns: Tensor) -> Tensor:
        """``(columns, batch)`` bool, the same for all queries and the candidates in these columns."""
        with torch.autocast(self.items.device.type, enabled=False):
            return self.items[columns] @ self.queries.T > self.limit


@torch.no_grad()
def screen_above(queries: Tensor, items: Tensor, positive: Tensor, margin: float, kind: Kind) -> SimilarityScreen:
    """The screen whose limits lie a margin below the positives' similarities.

    A relative margin is a share of the size of the similarity, so that it lies below the positive's whatever its sign is.

    Args:
        queries: ``(batch, width)``.
        items: ``(items, width)``.
        positive: ``(batch,)`` each query's positive.
        margin: how far below; negative for above.
        kind: in units of the similarity, or as a share of the positive's.
    """
    queries, items = queries.detach().float(), items.detach().float()
    own = (queries * items[positive]).sum(dim=1)
    limit = own - (margin if kind == "absolute" else margin * own.abs())
    return SimilarityScreen(queries, items, limit - ROUNDING * own.abs())


def check_margin(margin: float) -> None:
    """Refuses a margin that is no number or so wide that it is surely a percentage.

    Raises:
        ConfigError: outside of [-1, 1].
    """
    if not -1 <= margin <= 1:
        raise ConfigError(f"screen.margin is a difference or a share of similarities, from -1 to 1; got {margin}. 5 percent is 0.05.")
