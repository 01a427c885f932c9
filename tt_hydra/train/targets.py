"""From a batch to what the loss is told: which candidate is a known positive of which query."""

from __future__ import annotations

import torch
from torch import Tensor

from tt_hydra.contracts import Batch, Screen, Targets


def targets_of(batch: Batch, screen: Screen | None = None) -> Targets:
    """The targets of a batch, accidental hits and other known positives found by catalogue row.

    Where features depend on time, an item may be several candidates, one for each moment: its probability is shared among them. A query
    knows its positive at all moments, so that this one counts once for it.
    """
    several = not torch.equal(batch.item_keys, batch.item_rows)
    return Targets(
        positive=batch.positive,
        known=known_columns(batch.known, batch.item_rows),
        origin=batch.origin,
        log_q=batch.log_q + _log_copies(batch.item_rows) if several else batch.log_q,
        positive_log_q=batch.log_q[batch.positive],
        own=batch.own,
        weight=batch.weight,
        teacher=batch.teacher,
        labels=batch.labels,
        screen=screen,
    )


def _log_copies(item_rows: Tensor) -> Tensor:
    """``(items,)`` log of how many candidates are the same item."""
    _, number, counts = torch.unique(item_rows, return_inverse=True, return_counts=True)
    logs: Tensor = counts.float().log()[number]
    return logs


def known_columns(known: Tensor, item_rows: Tensor) -> Tensor:
    """The candidates that are known positives.

    Args:
        known: ``(pairs, 2)`` int64, (query of the batch, catalogue row), by ascending query.
        item_rows: ``(items,)`` int64 catalogue rows; a row may occur several times.

    Returns:
        ``(found, 2)`` int64, (query of the batch, column), by ascending query.
    """
    sorted_rows, order = torch.sort(item_rows, stable=True)
    wanted = known[:, 1].contiguous()
    first, last = (torch.searchsorted(sorted_rows, wanted, right=right) for right in (False, True))
    counts = last - first
    pair = torch.repeat_interleave(torch.arange(len(known), device=known.device), counts)
    within = torch.arange(len(pair), device=known.device) - (counts.cumsum(0) - counts)[pair]
    return torch.stack([known[pair, 0], order[first[pair] + within]], dim=1)
