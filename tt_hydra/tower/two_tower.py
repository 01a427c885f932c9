"""Both towers as one module: the shared dimension, the metric, shared weights and the items' text cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tt_hydra.contracts import Features, Kind, Metric, Padded, Pooling, Schema, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.features import FeatureEncoder
from tt_hydra.tower.finish import Finish
from tt_hydra.tower.sharing import Tie, shares_weights
from tt_hydra.tower.side import SideTower
from tt_hydra.tower.spec import Saved, TowerSpec
from tt_hydra.tower.tokenizer import NoTokens

__all__ = ["Tie", "TowerSpec", "TwoTower"]

logger = logging.getLogger(__name__)

SIDES: tuple[Side, Side] = ("query", "item")


class TwoTower(nn.Module):
    """A query tower and an item tower that meet in ``dim`` dimensions.

    A history's items go through the item side's feature encoders, so both sides read the same tables. Texts of those items
    (and the item tower's own, where its text encoder is frozen) come from ``set_item_text`` where rows are known and the encoder
    is dear; otherwise they are encoded on the spot. Neither passes a gradient to such an encoder.

    Attributes:
        dim: dimension of the vectors.
        finish: the last step, which brings vectors into the form in which they are compared.
        tokenizers: by side.
        texts: names of each side's text features; tied sides may name theirs differently.
    """

    item_text: Tensor | None

    def __init__(
        self, towers: Mapping[Side, SideTower], tokenizers: Mapping[Side, Tokenizer], schema: Schema, finish: Finish, num_items: int
    ) -> None:
        super().__init__()
        self.towers = nn.ModuleDict({str(side): tower for side, tower in towers.items()})
        self.tokenizers = dict(tokenizers)
        self.finish, self.num_items = finish, num_items
        self.dim = self._side("item").dim
        self.texts = {side: [feature.name for feature in schema.side(side).of(Kind.TEXT)] for side in SIDES}
        self.register_buffer("item_text", None, persistent=False)
        self.register_load_state_dict_post_hook(_forget_item_text)  # type: ignore[no-untyped-call]

    @classmethod
    def build(  # noqa: PLR0913
        cls,
        *,
        query: TowerSpec,
        item: TowerSpec,
        schema: Schema,
        text_pooling: Pooling,
        history_pooling: Pooling,
        embedding_dim: int | None,
        metric: Metric,
        item_bias: bool = False,
        num_items: int,
        tie: Tie = "auto",
        assets: Path | None = None,
    ) -> TwoTower:
        """Makes both towers with fresh (or pretrained) weights.

        Args:
            query: what the query side is built from.
            item: the same of the item side.
            schema: features of both sides.
            text_pooling: joins token vectors.
            history_pooling: joins item vectors.
            embedding_dim: shared dimension; None for the text encoder's own width (a pretrained one's before others), or ``feature_dim``
                where texts have none that stands alone.
            metric: similarity of the vectors.
            item_bias: whether their last dimension is a bias of each item, see ``Finish``.
            num_items: size of the catalogue.
            tie: whether one set of weights serves both sides; ``auto``: where both have the same tower and only text.
            assets: folder of ``save_assets``, to rebuild a model without hub and package; weights then come from a state.

        Raises:
            ConfigError: the sides cannot share weights though ``tie`` asks for it, a side has no feature, the dimension is below 1, or the
                metric knows no bias.
        """
        finish = Finish(metric, item_bias)
        _check(schema, embedding_dim)
        specs: dict[Side, TowerSpec] = {"query": query, "item": item}
        tied = shares_weights(specs, schema, tie)
        folders = {side: None if assets is None else assets / ("item" if tied else side) for side in SIDES}
        encoders = {
            side: _features(specs[side], schema.side(side), text_pooling, folders[side]) for side in SIDES if side == "item" or not tied
        }
        dim = embedding_dim or _own_width(specs, encoders)
        towers: dict[Side, SideTower] = {}
        for side, encoder in encoders.items():
            own, spec = schema.side(side), specs[side]
            histories = [spec.history_encoder(encoders["item"].layout, history_pooling) for _ in own.of(Kind.HISTORY)]
            towers[side] = SideTower(own, encoder, histories, dim, spec.head)
            for note in spec.notes(own) if assets is None else []:
                logger.info("%s: %s", "both towers" if tied else f"{side} tower", note)
        tokenizers: dict[Side, Tokenizer] = {
            side: specs[side].tokenizer(side, folders[side]) if schema.side(side).of(Kind.TEXT) else NoTokens() for side in SIDES
        }
        return cls(towers, tokenizers, schema, finish, num_items)

    @property
    def metric(self) -> Metric:
        """Similarity that the vectors are made for; ``cosine`` vectors have length 1."""
        return self.finish.metric

    @property
    def tied(self) -> bool:
        """Whether one set of weights serves both sides."""
        return "query" not in self.towers

    @property
    def needs_item_text(self) -> bool:
        """Whether a cache of the items' texts is of use: their encoder is dear, and frozen or read by a history."""
        encoder = self._side("item").features.text
        return encoder is not None and encoder.cached and (not encoder.trained or bool(self._side("query").histories))

    @property
    def item_text_changes(self) -> bool:
        """Whether training makes that cache stale."""
        encoder = self._side("item").features.text
        return self.needs_item_text and encoder is not None and encoder.trained

    def embed_queries(self, features: Features) -> Tensor:
        """Query vectors ``(rows, dim)`` in float32, finished."""
        tower = self._side("query")
        encoder = tower.features.text
        frozen = encoder is not None and encoder.cached and not encoder.trained
        names = self.texts["query"]
        texts = _without_gradient(tower.features, features, names) if frozen else tower.features.text_vectors(features, names)
        return self.finish(tower(features, texts, self._history_items), "query")

    def embed_items(self, features: Features) -> Tensor:
        """Item vectors ``(rows, dim)`` in float32, finished."""
        tower = self._side("item")
        return self.finish(tower(features, self._item_texts(features, for_history=False), self._history_items), "item")

    def embed_texts(self, side: Side, tokens: Padded) -> Tensor:
        """Vectors ``(rows, dim)`` of texts under a side's tokenizer, as if the side knew nothing else; finished like all vectors."""
        return self.finish(self._side(side).of_text(tokens, len(self.texts[side])), side)

    @torch.no_grad()
    def item_text_vectors(self, features: Features) -> Tensor:
        """The items' text vectors ``(rows, texts * text width)``, for ``set_item_text``.

        Raises:
            ValueError: the item side has no text.
        """
        vectors = _without_gradient(self._side("item").features, features, self.texts["item"])
        if vectors is None:
            raise ValueError("the item side has no text")
        return vectors

    def set_item_text(self, vectors: Tensor | None) -> None:
        """Caches the catalogue's text vectors, ``(num_items, texts * text width)``; None, and loading other weights, forgets them.

        Raises:
            ValueError: the shape is another.
        """
        encoder = self._side("item").features.text
        width = 0 if encoder is None else encoder.width * len(self.texts["item"])
        if vectors is not None and vectors.shape != (self.num_items, width):
            raise ValueError(f"item text vectors have shape {tuple(vectors.shape)}; expected {(self.num_items, width)}")
        device = next(self.parameters()).device
        self.item_text = None if vectors is None else vectors.detach().to(device)

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Optimizer groups over everything that is trained.

        Biases and norms are not decayed; a pretrained encoder's layers have learning rates of their own.
        """
        scales = self._lr_scales()
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((scales.get(name, 1.0), parameter.ndim > 1), []).append(parameter)
        return [
            {"params": parameters, "lr": learning_rate * scale, "weight_decay": weight_decay if decayed else 0.0}
            for (scale, decayed), parameters in groups.items()
        ]

    def state_for(self, side: Side) -> dict[str, Tensor]:
        """The weights that one side needs to embed alone.

        A query side with a history needs the item side's feature encoders too; tied towers give the same for both sides. The
        union of both sides' states is ``state_dict()``.
        """
        prefixes = self._prefixes(side)
        return {name: value for name, value in self.state_dict().items() if name.startswith(prefixes)}

    def save_assets(self, folder: Path) -> None:
        """Writes what ``build(assets=folder)`` needs besides the weights: a pretrained encoder's configuration and tokenizer."""
        for side, tower in self._towers().items():
            encoder, tokenizer = tower.features.text, self.tokenizers.get(side)
            if encoder is not None:
                encoder.save_assets(folder / side)
            if isinstance(tokenizer, Saved):
                tokenizer.save(folder / side)

    def _towers(self) -> dict[Side, SideTower]:
        """The towers that have weights of their own; tied sides have the item side's."""
        return {side: cast(SideTower, self.towers[side]) for side in SIDES if side in self.towers}

    def _side(self, side: Side) -> SideTower:
        return self._towers().get(side) or cast(SideTower, self.towers["item"])

    def _prefixes(self, side: Side) -> tuple[str, ...]:
        if side == "item" or self.tied:
            return ("towers.item.",)
        return ("towers.query.", "towers.item.features.") if self._side("query").histories else ("towers.query.",)

    def _history_items(self, features: Features) -> Tensor:
        encoder = self._side("item").features
        return cast(Tensor, encoder(features, self._item_texts(features, for_history=True)))

    def _item_texts(self, features: Features, for_history: bool) -> Tensor | None:
        encoder = self._side("item").features
        if encoder.text is None or not encoder.text.cached or (encoder.text.trained and not for_history):
            return encoder.text_vectors(features, self.texts["item"])
        if self.item_text is not None and features.rows is not None:
            return functional.embedding(features.rows, self.item_text)
        return _without_gradient(encoder, features, self.texts["item"])

    def _lr_scales(self) -> dict[str, float]:
        scales: dict[str, float] = {}
        for side, tower in self._towers().items():
            encoder = tower.features.text
            if encoder is not None:
                scales |= {f"towers.{side}.features.text.{name}": scale for name, scale in encoder.lr_scales().items()}
        return scales


def _forget_item_text(towers: TwoTower, _: object) -> None:
    """A hook of ``load_state_dict``; a function of the module level, so that the towers can be pickled to another process."""
    towers.set_item_text(None)


@torch.no_grad()
def _without_gradient(encoder: FeatureEncoder, features: Features, names: list[str]) -> Tensor | None:
    """Text vectors as they are cached: without dropout, whatever mode the model is in."""
    if encoder.text is None or not encoder.text.training:
        return encoder.text_vectors(features, names)
    encoder.text.eval()
    try:
        return encoder.text_vectors(features, names)
    finally:
        encoder.text.train()


def _check(schema: Schema, embedding_dim: int | None) -> None:
    for side in SIDES:
        if not schema.side(side).features:
            raise ConfigError(f"the {side} side has no feature, so it has nothing to embed; declare one, at least its id as categorical")
    if embedding_dim is not None and embedding_dim < 1:
        raise ConfigError(f"embedding_dim is {embedding_dim}; it must be at least 1, or null for the encoder's own width")


def _features(spec: TowerSpec, schema: SideSchema, pooling: Pooling, assets: Path | None) -> FeatureEncoder:
    text = spec.text_encoder(pooling, schema.only_text, assets) if schema.of(Kind.TEXT) else None
    return FeatureEncoder(schema, spec.feature_dim, text)


def _own_width(specs: Mapping[Side, TowerSpec], encoders: Mapping[Side, FeatureEncoder]) -> int:
    texts = [encoder.text for encoder in encoders.values() if encoder.text is not None]
    alone = sorted((text for text in texts if text.standalone), key=lambda text: not text.pretrained)
    return alone[0].width if alone else specs["item"].feature_dim
