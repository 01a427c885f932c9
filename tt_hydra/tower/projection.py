"""From a side's concatenated features to the shared dimension."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from tt_hydra.errors import ConfigError
from tt_hydra.tower.cross import CrossNetwork
from tt_hydra.tower.spec import ACTIVATIONS, Head, Layout, width_of


class Projection(nn.Module):
    """A linear map plus, where ``hidden_dims`` names layers, an MLP whose last layer starts at zero; crosses before the first or both.

    So every tower starts as a factorisation model (dot products of linear maps of embeddings) and learns interactions on top.
    Where the input holds pretrained text vectors, the linear map starts as their average (the identity for one text), cut or filled
    up with zeros to the output dimension, and every other weight starts at zero: the untrained tower is the text encoder, and
    both sides are cut alike.
    """

    def __init__(self, layout: Layout, dim: int, head: Head) -> None:
        super().__init__()
        width = width_of(layout)
        self.drop, self.width = nn.Dropout(head.dropout), width
        self.linear = nn.Linear(width, dim)
        self.mlp = _mlp(width, dim, head) if head.hidden_dims else None
        self.cross = None if head.cross is None else CrossNetwork(width, head.cross.layers, head.cross.rank)
        self.stacked = head.cross is not None and head.cross.structure == "stacked"
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if any(block.pretrained for block in layout):
            self._keep_pretrained(layout)

    @torch.no_grad()
    def _keep_pretrained(self, layout: Layout) -> None:
        weight, start = self.linear.weight, 0
        share = 1.0 / sum(block.pretrained for block in layout)
        weight.zero_()
        for block in layout:
            if block.pretrained:
                diagonal = torch.arange(min(block.width, len(weight)))
                weight[diagonal, start + diagonal] = share
            start += block.width

    def forward(self, vectors: Tensor) -> Tensor:
        """``(rows, width)`` becomes ``(rows, dim)``."""
        vectors = self.drop(vectors)
        crossed = vectors if self.cross is None else self.cross(vectors)
        linear = cast(Tensor, self.linear(crossed))
        return linear if self.mlp is None else linear + self.mlp(crossed if self.stacked else vectors)


class Sum(nn.Module):
    """The parts of a concatenation added up, each of the output dimension; no weights.

    Raises:
        ConfigError: a part has another width.
    """

    def __init__(self, layout: Layout, dim: int, head: Head) -> None:
        super().__init__()
        wrong = sorted({block.width for block in layout} - {dim})
        if wrong:
            raise ConfigError(
                f"tower.join=sum adds up features of width embedding_dim={dim}, but some have width {wrong[0]}: "
                f"set tower.feature_dim={dim}, or tower.join=project"
            )
        self.drop = nn.Dropout(head.dropout)
        self.width, self.dim = width_of(layout), dim

    def forward(self, vectors: Tensor) -> Tensor:
        """``(rows, width)`` becomes ``(rows, dim)``."""
        return cast(Tensor, self.drop(vectors)).view(len(vectors), self.width // self.dim, self.dim).sum(dim=1)


def joined_by(layout: Layout, dim: int, head: Head) -> Projection | Sum:
    """What a head asks for."""
    return Sum(layout, dim, head) if head.join == "sum" else Projection(layout, dim, head)


def _mlp(width: int, dim: int, head: Head) -> nn.Sequential:
    layers: list[nn.Module] = [nn.LayerNorm(width)] if head.layer_norm else []
    for before, after in pairwise((width, *head.hidden_dims)):
        layers += [nn.Linear(before, after), ACTIVATIONS[head.activation](), nn.Dropout(head.dropout)]
    last = nn.Linear(head.hidden_dims[-1], dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)
