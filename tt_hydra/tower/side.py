"""The tower of one side."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Features, History, Kind, Padded, SideSchema
from tt_hydra.tower.features import FeatureEncoder
from tt_hydra.tower.projection import joined_by
from tt_hydra.tower.spec import Head, HistoryEncoder, Layout


class SideTower(nn.Module):
    """Features, histories, projection.

    A side whose only feature is one text, from an encoder that stands alone and has the shared dimension, has no projection at all.

    Attributes:
        features: encoder of everything but histories.
        dim: dimension of the result.
    """

    def __init__(self, schema: SideSchema, features: FeatureEncoder, histories: list[HistoryEncoder], dim: int, head: Head) -> None:
        super().__init__()
        self.features, self.dim = features, dim
        self.history_names = [feature.name for feature in schema.of(Kind.HISTORY)]
        self.histories = nn.ModuleList(histories)
        self.projection = None if _bare(schema, features, dim, head) else joined_by(_layout(features, histories), dim, head)

    def forward(self, features: Features, texts: Tensor | None, encode_items: Callable[[Features], Tensor]) -> Tensor:
        """Vectors ``(rows, dim)``.

        Args:
            features: rows of this side.
            texts: their texts' vectors, see ``FeatureEncoder.text_vectors``.
            encode_items: feature vectors of the items that histories name.
        """
        parts = [self.features(features, texts)] if self.features.layout else []
        for name, encode in zip(self.history_names, self.histories, strict=True):
            history = cast(History, features.values[name])
            parts.append(encode(history.positions, encode_items(history.items)).float())
        joined = torch.cat(parts, dim=1)
        return joined if self.projection is None else cast(Tensor, self.projection(joined))

    def of_text(self, tokens: Padded, texts: int) -> Tensor:
        """Vectors ``(rows, dim)`` of a text alone: each of the side's ``texts`` reads the same, every other feature is zero.

        Raises:
            ValueError: the side has no text.
        """
        if self.features.text is None:
            raise ValueError("this side has no text")
        known = torch.cat([self.features.text(tokens).float()] * texts, dim=1)
        if self.projection is None:
            return known
        unknown = known.new_zeros(len(known), self.projection.width - known.shape[1])
        return cast(Tensor, self.projection(torch.cat([known, unknown], dim=1)))


def _layout(features: FeatureEncoder, histories: list[HistoryEncoder]) -> Layout:
    return (*features.layout, *(block for history in histories for block in history.layout))


def _bare(schema: SideSchema, features: FeatureEncoder, dim: int, head: Head) -> bool:
    one_text = schema.only_text and len(features.layout) == 1
    standalone = features.text is not None and features.text.standalone
    return one_text and standalone and features.width == dim and head.linear
