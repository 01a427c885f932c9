"""One batch out of every rank's part, with the gradient that one process with the whole batch would have.

Every rank evaluates the loss of the whole batch. Gradient flows only through the vectors that the rank made itself; multiplied by
the number of ranks, and averaged over them by DDP, it is the gradient of the whole batch: d L / d theta = sum over ranks of the
part that went through that rank. No collective has to be differentiated, and any loss is exact, hard negatives included.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from tt_hydra.contracts import Batch, Origin, OwnNegatives


def world_size() -> int:
    """Number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(queries: Tensor, items: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Batch]:
    """The whole batch's vectors and bookkeeping, from this rank's.

    Args:
        queries: ``(batch, dim)``, any number on each rank, at least one.
        items: ``(items, dim)``, likewise.
        batch: this rank's part.

    Returns:
        Query vectors, item vectors and a batch of all ranks, in rank order, each candidate (``Batch.item_keys``) held once. The
        features of that batch are still this rank's own.
    """
    rank, rows, columns = dist.get_rank(), _counts(len(queries), queries.device), _counts(len(items), items.device)
    query, column = sum(rows[:rank]), sum(columns[:rank])
    own = _counts(len(batch.own.query), items.device)
    distinct, place = torch.unique(_ragged(batch.item_keys, columns), return_inverse=True)
    first = _first_occurrence(place, len(distinct))
    merged = replace(
        batch,
        item_rows=_ragged(batch.item_rows, columns)[first],
        item_keys=distinct,
        positive=place[_ragged(batch.positive + column, rows)],
        known=gather_rows(batch.known + torch.tensor([query, 0], device=batch.known.device)),
        origin=_origins(batch, distinct, place, columns),
        log_q=_ragged(batch.log_q, columns)[first],
        own=OwnNegatives(
            _ragged(batch.own.query + query, own),
            place[_ragged(batch.own.column + column, own)],
            _ragged(batch.own.teacher, own),
        ),
        weight=_ragged(batch.weight, rows),
        teacher=_ragged(batch.teacher, rows),
        labels={name: _ragged(batch.labels[name], rows) for name in sorted(batch.labels)},
        guide=None if batch.guide is None else (_ragged(batch.guide[0], rows), _ragged(batch.guide[1], columns)[first]),
    )
    return _ragged(queries, rows), _ragged(items, columns).index_select(0, first), merged


def gather_rows(tensor: Tensor) -> Tensor:
    """Rows of all ranks, ``(rows of each, ...)`` one behind the other in rank order; any number on each, without gradient."""
    return _ragged(tensor.detach(), _counts(len(tensor), tensor.device))


def share_gradient(value: Tensor) -> Tensor:
    """``value`` whose gradient is divided by the number of ranks: for what every rank holds whole, such as the temperature."""
    share = value / world_size()
    return share + (value - share).detach()


def _ragged(tensor: Tensor, counts: list[int]) -> Tensor:
    """Concatenation over ranks of tensors that differ in length, which is ``counts`` on each; gradient through the own part."""
    longest = max(counts)
    padded = tensor.detach().contiguous()
    if len(tensor) < longest:
        padded = tensor.new_zeros((longest, *tensor.shape[1:]))
        padded[: len(tensor)] = tensor.detach()
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    trimmed = [part[:count] for part, count in zip(parts, counts, strict=True)]
    trimmed[dist.get_rank()] = tensor
    return torch.cat(trimmed)


def _counts(count: int, device: torch.device) -> list[int]:
    parts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world_size())]
    dist.all_gather(parts, torch.tensor([count], device=device))
    return [int(part) for part in parts]


def _first_occurrence(column: Tensor, distinct: int) -> Tensor:
    order = torch.arange(len(column), device=column.device)
    first = torch.full((distinct,), len(column), device=column.device)
    return first.scatter_reduce(0, column, order, "amin")


def _origins(batch: Batch, distinct: Tensor, place: Tensor, columns: list[int]) -> Tensor:
    """How each candidate came into the batch on any rank; ``REMOTE`` marks the negatives that only other ranks have."""
    flags = torch.tensor([int(flag) for flag in Origin], device=distinct.device)
    came = (_ragged(batch.origin, columns)[:, None] & flags) != 0
    merged = torch.zeros(len(distinct), len(flags), dtype=torch.uint8, device=distinct.device)
    merged.scatter_reduce_(0, place[:, None].expand_as(came), came.to(torch.uint8), "amax")
    origin = (merged.to(torch.int64) * flags).sum(dim=1)
    remote = ~torch.isin(distinct, batch.item_keys) & (origin != 0)
    return origin | (remote * int(Origin.REMOTE))
