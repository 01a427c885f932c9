"""How much each of several tasks counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class Weighting(nn.Module):
    """Fixed weights: 1 for each task besides the factor that it is given."""

    def forward(self, losses: Tensor, present: Tensor, vectors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The tasks' weights and what is added to their losses.

        Args:
            losses: ``(tasks,)``.
            present: ``(tasks,)`` bool, which tasks have a row in this batch.
            vectors: queries' and items', by which the losses can be differentiated.
        """
        return torch.ones_like(losses), torch.zeros_like(losses)


class Uncertainty(Weighting):
    """Each task's noise is learned: ``loss / (2 variance) + log variance / 2`` for squared errors, ``loss / variance + ...`` for others.

    Kendall et al. (2018), equations 7 and 10, with the log variance as parameter, 0 at the start.
    """

    factor: Tensor

    def __init__(self, squared: Sequence[bool]) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(len(squared)))
        self.register_buffer("factor", torch.tensor([0.5 if each else 1.0 for each in squared]), persistent=False)

    def forward(self, losses: Tensor, present: Tensor, vectors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """As in ``Weighting``."""
        return self.factor * torch.exp(-self.log_variance), self.log_variance / 2


class GradientNorm(Weighting):
    """Inversely to the length of each task's gradient by the vectors, with a mean of 1 over the tasks that have one; no gradient."""

    def forward(self, losses: Tensor, present: Tensor, vectors: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """As in ``Weighting``; weights of 1 where nothing is differentiated."""
        inputs = [each for each in vectors if each.requires_grad]
        if not (inputs and losses.requires_grad):
            return torch.ones_like(losses), torch.zeros_like(losses)
        norms = torch.stack([_norm(loss, inputs) for loss in losses])
        pulling = norms > 0
        inverse = torch.where(pulling, 1.0 / norms, 0.0)
        weights = inverse * pulling.sum() / inverse.sum().clamp(min=torch.finfo(inverse.dtype).tiny)
        return torch.where(pulling, weights, 1.0), torch.zeros_like(losses)


def weighting_of(name: Literal["fixed", "uncertainty", "gradient_norm"], squared: Sequence[bool]) -> Weighting:
    """The weighting of that name; ``squared`` says which tasks' losses are squared errors."""
    match name:
        case "fixed":
            return Weighting()
        case "uncertainty":
            return Uncertainty(squared)
        case "gradient_norm":
            return GradientNorm()


def _norm(loss: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, inputs, retain_graph=True, materialize_grads=True)
    return torch.sqrt(torch.stack([gradient.detach().double().square().sum() for gradient in gradients]).sum()).to(loss)
