"""Sigmoid loss: each pair of a query and a candidate is told apart by itself, without a normaliser over the candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tt_hydra.contracts import LossOutput, Targets
from tt_hydra.loss.tiles import DEFAULT_CHUNK, Slopes, Tile, check_chunk_size, effective_number, inverse, tiled_loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Sigmoid:
    """Pairwise logistic loss of SigLIP (Zhai et al. 2023): ``softplus(-z)`` of the positive plus ``softplus(z)`` of every negative.

    ``z = similarity / temperature + bias``. The scale of the paper is the inverse of the temperature; it is learned under
    ``temperature=learned``. A row's negatives are summed, as in the paper, so that the gradient grows with their number.

    Attributes:
        bias: what is added to every score at the start; far below 0, since almost all pairs are negatives.
        learn_bias: whether it is trained along.
        chunk_size: scores held at once, which bounds memory (64 rows are held where there are as many); results do not depend on it
            beyond rounding.
    """

    bias: float = -10.0
    learn_bias: bool = True
    chunk_size: int = DEFAULT_CHUNK

    def __post_init__(self) -> None:
        check_chunk_size(self.chunk_size)

    @property
    def uses_temperature(self) -> bool:
        """True."""
        return True

    @property
    def uses_log_q(self) -> bool:
        """False: pairs are not normalised over candidates."""
        return False

    def build(self) -> SigmoidLoss:
        """A module with one parameter, ``bias``; a buffer where it is not learned."""
        return SigmoidLoss(self)


class SigmoidLoss(nn.Module):
    """The loss and its bias."""

    bias: Tensor

    def __init__(self, spec: Sigmoid) -> None:
        super().__init__()
        start = torch.tensor(spec.bias, dtype=torch.float32)
        if spec.learn_bias:
            self.bias = nn.Parameter(start)
        else:
            self.register_buffer("bias", start)
        self._chunk_size = spec.chunk_size

    def forward(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the rows that have a negative.

        Args:
            queries: ``(batch, dim)``.
            items: ``(items, dim)``.
            targets: positives, exclusions and weights.
            temperature: scalar.
        """
        scale = inverse(temperature, queries)
        return tiled_loss(queries, items, targets, told_apart, scale=scale, shift=self.bias, chunk_size=self._chunk_size)


def told_apart(tile: Tile) -> Slopes:
    """The positive above 0 and every negative below."""
    losses = softplus(-tile.positive) + softplus(tile.logits).sum(dim=1)
    return Slopes(losses, torch.sigmoid(tile.logits), -torch.sigmoid(-tile.positive), effective_number(tile.logits))
