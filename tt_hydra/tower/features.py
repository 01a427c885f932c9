"""One vector for each declared feature of a side, by its kind."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.contracts import PAD, UNKNOWN, Feature, Features, Kind, Padded, SideSchema
from tt_hydra.tower.spec import Block, Layout, RowTable, TextEncoder, width_of

INITIAL_STD = 0.05
"""Spread of fresh embeddings: small, so that what is never trained says little."""


class CodeTable(RowTable):
    """The embedding of a categorical feature, or the mean embedding of a multi-valued one.

    The vectors of padding and of unknown values start at zero: a new item is described by its other features alone.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, dim) * INITIAL_STD)
        with torch.no_grad():
            self.weight[[PAD, UNKNOWN]] = 0.0

    def forward(self, value: Tensor | Padded) -> Tensor:
        """``(rows,)`` codes, or padded lists of codes, become ``(rows, dim)``."""
        if isinstance(value, Padded):
            return mean_of(self.weight, value, self.sparse)
        return functional.embedding(value, self.weight, padding_idx=PAD, sparse=self.sparse)


def mean_of(table: Tensor, codes: Padded, sparse: bool = False) -> Tensor:
    """Mean of the table's rows that each list of codes names, ``(rows, width)``; zeros where there are none.

    The rows are added up as they are read: laid out side by side first, as for a pooling, they take several times the time and memory.
    """
    kept = codes.mask & (codes.ids != PAD)
    share = kept / kept.sum(dim=1, keepdim=True).clamp(min=1)
    where = codes.ids.masked_fill(~kept, PAD)
    return functional.embedding_bag(where, table, mode="sum", per_sample_weights=share.to(table.dtype), sparse=sparse)


class NumberLine(nn.Module):
    """A numeric feature's value and missing flag, through a small linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, dim)
        nn.init.normal_(self.linear.weight, std=INITIAL_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, value: Tensor) -> Tensor:
        """``(rows, 2)`` becomes ``(rows, dim)``."""
        return cast(Tensor, self.linear(value))


class FeatureEncoder(nn.Module):
    """All features of a side but its histories, each encoded by its kind and concatenated: texts first, then declaration order.

    Attributes:
        layout: what the concatenation is made of.
        text: encoder of the texts, shared by all of them; None where the side has no text.
    """

    def __init__(self, schema: SideSchema, feature_dim: int, text: TextEncoder | None) -> None:
        super().__init__()
        self.text = text
        others = [feature for feature in schema.features if feature.kind not in (Kind.TEXT, Kind.HISTORY)]
        self.names = [feature.name for feature in others]
        self.encoders = nn.ModuleList(_encoder(feature, feature_dim) for feature in others)
        texts = () if text is None else tuple(Block(text.width, text.pretrained) for _ in schema.of(Kind.TEXT))
        self.layout: Layout = (*texts, *(Block(feature_dim) for _ in others))

    @property
    def width(self) -> int:
        """Dimension of the concatenation."""
        return width_of(self.layout)

    def forward(self, features: Features, texts: Tensor | None) -> Tensor:
        """The concatenation, ``(rows, width)``; ``texts`` is what ``text_vectors`` gave, or the same from a cache."""
        parts = [] if texts is None else [texts]
        parts += [encode(features.values[name]) for name, encode in zip(self.names, self.encoders, strict=True)]
        return torch.cat([part.float() for part in parts], dim=1)

    def text_vectors(self, features: Features, names: list[str]) -> Tensor | None:
        """The named texts' vectors side by side, ``(rows, texts * text width)``; None where the side has no text."""
        if self.text is None:
            return None
        return torch.cat([self.text(cast(Padded, features.values[name])) for name in names], dim=1)


def _encoder(feature: Feature, dim: int) -> nn.Module:
    return NumberLine(dim) if feature.kind is Kind.NUMERIC else CodeTable(feature.size, dim)
