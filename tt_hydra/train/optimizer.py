"""Optimizers as components: what the ``optimizer`` node builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch.optim import Optimizer

from tt_hydra.errors import ConfigError
from tt_hydra.train.rows import RowAdamW

ParameterGroups = list[dict[str, Any]]
MANY_ROWS = 100_000
"""A table of fewer rows is updated as a whole by default: it costs little, and every row goes on by what its moments hold."""


class OptimizerSpec(Protocol):
    """Hyper-parameters of an optimizer."""

    @property
    def lr(self) -> float:
        """Peak learning rate."""

    @property
    def weight_decay(self) -> float:
        """Decay of the parameters that are decayed."""

    def build(self, groups: ParameterGroups) -> Optimizer:
        """The optimizer over groups that carry their own ``lr`` and ``weight_decay``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Attributes:
        lr: peak learning rate.
        weight_decay: decay of the parameters that are decayed.
        betas: memory of the gradient's mean and of its square.
        eps: added to the root of the mean square.
        sparse: whether a step updates, of a table of embeddings, the rows alone that its batch read (``RowAdamW``), and leaves the
            weights and moments of all others as they are, undecayed; ``auto``: in tables of ``MANY_ROWS`` rows and more.
    """

    lr: float = 3e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    sparse: Literal["auto"] | bool = "auto"

    def __post_init__(self) -> None:
        _check_rates(self.lr, self.weight_decay)

    def build(self, groups: ParameterGroups) -> Optimizer:
        """The optimizer over groups that carry their own ``lr`` and ``weight_decay``.

        On a CPU it is the fused kernel, one pass over memory. On a GPU that would unscale gradients of half precision itself, and
        Lightning then refuses to clip them.
        """
        fused = all(parameter.device.type == "cpu" for group in groups for parameter in group["params"])
        return RowAdamW(groups, lr=self.lr, weight_decay=self.weight_decay, betas=self.betas, eps=self.eps, fused=fused or None)

    def updates_rows(self, rows: int) -> bool:
        """Whether a table of so many rows is updated by rows."""
        return rows >= MANY_ROWS if self.sparse == "auto" else self.sparse


@dataclass(frozen=True, kw_only=True, slots=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: float = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        _check_rates(self.lr, self.weight_decay)
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optimizer.momentum must be in [0, 1), got {self.momentum}")

    def build(self, groups: ParameterGroups) -> Optimizer:
        """The optimizer over groups that carry their own ``lr`` and ``weight_decay``."""
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)


def _check_rates(lr: float, weight_decay: float) -> None:
    if lr <= 0:
        raise ConfigError(f"optimizer.lr must be above 0, got {lr}")
    if weight_decay < 0:
        raise ConfigError(f"optimizer.weight_decay must be 0 or more, got {weight_decay}")
