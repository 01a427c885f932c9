"""From a batch to what the loss is told: which candidate is no negative of which query."""

from __future__ import annotations

import torch
from torch import Tensor

from tt_hydra.contracts import Batch, Targets


def targets_of(batch: Batch) -> Targets:
    """The targets of a batch, accidental hits and other known positives excluded by catalogue row."""
    excluded = known_mask(batch.known, batch.item_rows, len(batch.positive))
    excluded |= ~batch.drawn
    excluded[torch.arange(len(batch.positive), device=excluded.device), batch.positive] = False
    return Targets(batch.positive, excluded, batch.log_q, batch.weight)


def known_mask(known: Tensor, item_rows: Tensor, num_queries: int) -> Tensor:
    """Where a candidate is a known positive of a query.

    Args:
        known: ``(pairs, 2)`` int64, (query of the batch, catalogue row).
        item_rows: ``(items,)`` int64 catalogue rows; a row may occur several times.
        num_queries: queries in the batch.

    Returns:
        ``(num_queries, items)`` bool.
    """
    distinct, column = torch.unique(item_rows, return_inverse=True)
    place = torch.searchsorted(distinct, known[:, 1].contiguous()).clamp_(max=len(distinct) - 1)
    present = distinct[place] == known[:, 1]
    mask = torch.zeros(num_queries, len(distinct), dtype=torch.bool, device=item_rows.device)
    mask[known[present, 0], place[present]] = True
    return mask[:, column]
