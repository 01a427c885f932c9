"""One tower as a module of flat inputs that can be traced: no grouping by length, no cache, no Python that looks at values."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Features, Padded, Schema, Side
from tt_hydra.export.inputs import TEXT_VECTORS, Input, inputs_of, unflatten
from tt_hydra.tower.features import FeatureEncoder
from tt_hydra.tower.side import SideTower
from tt_hydra.tower.spec import TextEncoder, look_up
from tt_hydra.tower.token_bag import TokenBag
from tt_hydra.tower.transformer import Transformer
from tt_hydra.tower.two_tower import TwoTower


class FlatTower(nn.Module):
    """The tower of one side, its weights shared with ``towers``.

    Attributes:
        inputs: what ``forward`` takes, in order.
    """

    def __init__(self, towers: TwoTower, schema: Schema, side: Side) -> None:
        super().__init__()
        self.schema, self.side, self.finish = schema, side, towers.finish
        self.texts = dict(towers.texts)
        self.tower = side_tower(towers, side)
        self.item_features = side_tower(towers, "item").features
        self.text, self.item_text = traceable(self.tower.features.text), traceable(self.item_features.text)
        self.inputs: tuple[Input, ...] = inputs_of(schema, side, text_width(towers))

    def forward(self, *tensors: Tensor) -> Tensor:
        """Vectors ``(rows, dim)`` in float32, as the towers give them."""
        named = {each.name: tensor for each, tensor in zip(self.inputs, tensors, strict=True)}
        features = unflatten(self.schema, self.side, named)
        vectors = self.tower(features, _text_vectors(self.text, features, self.texts[self.side]), self._history_items)
        return self.finish(vectors, self.side)

    def _history_items(self, items: Features) -> Tensor:
        given = items.values.get(TEXT_VECTORS)
        texts = _text_vectors(self.item_text, items, self.texts["item"]) if given is None else cast(Tensor, given)
        return cast(Tensor, self.item_features(items, texts))


class TraceableTransformer(nn.Module):
    """What ``transformer.Transformer`` computes, all rows at once; padding stands at the end of a row."""

    def __init__(self, original: Transformer) -> None:
        super().__init__()
        self.encoder, self.pool = original.encoder, original.pool
        self.pad = getattr(original.encoder.config, "pad_token_id", None) or 0

    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens, which attends to its first position."""
        first = torch.arange(tokens.ids.shape[1], device=tokens.ids.device) == 0
        ids = tokens.ids.masked_fill(~tokens.mask, self.pad)
        vectors = self.encoder(input_ids=ids, attention_mask=(tokens.mask | first).long()).last_hidden_state
        return cast(Tensor, self.pool(vectors, tokens.mask))


class TraceableBag(nn.Module):
    """What ``token_bag.TokenBag`` computes, the vectors laid out."""

    def __init__(self, original: TokenBag) -> None:
        super().__init__()
        self.weight, self.pool = original.weight, original.pool

    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens."""
        return cast(Tensor, self.pool(look_up(self.weight, tokens), tokens.mask))


def traceable(encoder: TextEncoder | None) -> nn.Module | None:
    """An encoder's form whose shapes do not depend on values; most have no other."""
    if isinstance(encoder, TokenBag):
        return TraceableBag(encoder)
    return TraceableTransformer(encoder) if isinstance(encoder, Transformer) else encoder


def side_tower(towers: TwoTower, side: Side) -> SideTower:
    """The tower that embeds a side: tied sides have one."""
    return cast(SideTower, towers.towers["item" if towers.tied else side])


def text_width(towers: TwoTower) -> int | None:
    """Width of the items' text vectors where a history reads them ready-made, None elsewhere."""
    features: FeatureEncoder = side_tower(towers, "item").features
    if features.text is None or not features.text.cached:
        return None
    return features.text.width * len(towers.texts["item"])


def _text_vectors(encoder: nn.Module | None, features: Features, names: list[str]) -> Tensor | None:
    if encoder is None:
        return None
    return torch.cat([encoder(cast(Padded, features.values[name])) for name in names], dim=1)
