"""The mean of token vectors, each looked up in one table."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.contracts import Padded, Pooling
from tt_hydra.pooling.mean import MeanPooling
from tt_hydra.tower.spec import RowTable, TextEncoder, look_up
from tt_hydra.tower.token_vectors import TableShape


class TokenBag(RowTable, TextEncoder):
    """A table of token vectors, pooled; a mean goes through the kernel that adds up without laying the vectors out.

    Args:
        table: ``(tokens, width)``.
        loaded: whether it came from a file.
        pooling: joins token vectors.
        lr_scale: factor on the learning rate of the table.
    """

    standalone = True

    def __init__(self, table: Tensor, loaded: bool, pooling: Pooling, lr_scale: float) -> None:
        super().__init__()
        self.width, self.pretrained, self.lr_scale = table.shape[1], loaded, lr_scale
        self.weight = nn.Parameter(table)
        self.pool = pooling.build(self.width)

    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens."""
        if not isinstance(self.pool, MeanPooling):
            return cast(Tensor, self.pool(look_up(self.weight, tokens, self.sparse), tokens.mask))
        lengths = tokens.mask.sum(dim=1)
        starts = torch.cumsum(lengths, 0) - lengths
        return functional.embedding_bag(tokens.ids[tokens.mask], self.weight, starts, mode="mean", sparse=self.sparse)

    def lr_scales(self) -> dict[str, float]:
        """The table's factor."""
        return {"weight": self.lr_scale}

    def save_assets(self, folder: Path) -> None:
        """Writes the table's shape."""
        TableShape(len(self.weight), self.width, self.pretrained).save(folder)
