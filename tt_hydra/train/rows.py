"""Sparse updates of large tables: gradients of the rows that a step reads, and AdamW on these rows alone.

A dense gradient of a table is written, clipped and read as a whole in every step, though a batch reads few of its rows; with 200,000
rows that is most of a step. A sparse one names the rows that were read, each once, with what all uses of the table add up to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from tt_hydra.tower.spec import RowTable
from tt_hydra.train.gather import gather_rows, world_size

logger = logging.getLogger(__name__)

TINY = 1e-6


@runtime_checkable
class UpdatesRows(Protocol):
    """An optimizer spec whose optimizer takes sparse gradients."""

    def updates_rows(self, rows: int) -> bool:
        """Whether a table of so many rows shall have them."""


class RowAdamW(torch.optim.AdamW):
    """AdamW; of a parameter with a sparse gradient, it updates the rows of this gradient and leaves the others as they are.

    A row that is not in the gradient keeps its weights and its moments: no decay of either, no further step in an old direction. A row
    that is in it, be its gradient zero, is updated as by AdamW, weight decay included. Bias correction counts the steps in which the
    table had a gradient, not those of the row, as ``torch.optim.SparseAdam`` (lazy Adam) does. With a gradient in every row of every
    step, it is AdamW. The state has AdamW's form.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; ``closure`` computes the gradients, and its result is returned."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        tables = [(group, weight, weight.grad) for group in self.param_groups for weight in group["params"] if _sparse(weight.grad)]
        for _, weight, _ in tables:
            weight.grad = None
        super().step()
        for group in self.param_groups:
            torch.autograd.graph.increment_version([weight for weight in group["params"] if weight.grad is not None])  # fused steps do not
        for group, weight, gradient in tables:
            weight.grad = gradient
            self._update_rows(weight, gradient.coalesce(), group)
        return loss

    @torch.no_grad()
    def _update_rows(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rows = gradient.indices()[0]
        if not len(rows):
            return
        state = self.state[table]
        if not state:
            device = table.device if group["fused"] else torch.device("cpu")
            state["step"] = torch.zeros((), dtype=torch.float32, device=device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        whole = (table, state["exp_avg"], state["exp_avg_sq"])
        weights, means, squares = parts = [each.index_select(0, rows) for each in whole]
        beta1, beta2 = group["betas"]
        adamw(
            [weights], [gradient.values()], [means], [squares], [], [state["step"]], fused=group["fused"], amsgrad=False, maximize=False,
            beta1=beta1, beta2=beta2, lr=group["lr"], weight_decay=group["weight_decay"], eps=group["eps"],
        )  # fmt: skip
        for each, part in zip(whole, parts, strict=True):
            each.index_copy_(0, rows, part)


def choose_tables(towers: nn.Module, optimizer: object) -> list[nn.Parameter]:
    """Tells every table whether its gradient shall be sparse.

    Args:
        towers: their ``RowTable`` modules are meant.
        optimizer: its spec; one that is no ``UpdatesRows`` gets dense gradients.

    Returns:
        The weights whose gradients are.
    """
    tables = [module for module in towers.modules() if isinstance(module, RowTable)]
    for table in tables:
        asked = isinstance(optimizer, UpdatesRows) and optimizer.updates_rows(len(table.weight))
        table.sparse = asked and table.weight.requires_grad
    return [table.weight for table in tables if table.sparse]


def settle_rows(tables: Sequence[Tensor]) -> None:
    """Adds up what sparse gradients hold of each row, and replaces them by their mean over the ranks.

    A table of which no rank read a row gets none.
    """
    for table in tables:
        rows, values = _rows_of(table)
        if world_size() > 1:
            rows, values = gather_rows(rows), gather_rows(values / world_size())
        settled = world_size() == 1
        gradient = torch.sparse_coo_tensor(rows[None], values, table.shape, is_coalesced=settled, check_invariants=False).coalesce()
        table.grad = gradient if len(rows) else None


def clip_gradients(weights: Iterable[Tensor], largest: float) -> None:
    """Scales gradients so that their joint norm is at most ``largest``.

    It is ``torch.nn.utils.clip_grad_norm_``, which does not take sparse gradients; those must be coalesced.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    numbers = [gradient.values() if gradient.is_sparse else gradient for gradient in gradients]
    if numbers:
        factor = (largest / (torch.nn.utils.get_total_norm(numbers) + TINY)).clamp(max=1.0)
        for each in numbers:
            each.mul_(factor)


def _rows_of(table: Tensor) -> tuple[Tensor, Tensor]:
    """Row numbers and values of a sparse gradient, each row once."""
    if table.grad is None:
        return torch.empty(0, dtype=torch.int64, device=table.device), table.new_empty(0, table.shape[1])
    gradient = table.grad.coalesce()
    return gradient.indices()[0], gradient.values()


def _sparse(gradient: Tensor | None) -> bool:
    return gradient is not None and gradient.is_sparse
