"""The tower of self-attention over a history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tt_hydra.contracts import Kind, Pooling, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.pooled import HashedText
from tt_hydra.tower.self_attention import AttentionBlock, SelfAttentiveHistory
from tt_hydra.tower.spec import Activation, Head, HistoryEncoder, Layout, TextEncoder, require_positive
from tt_hydra.tower.tokenizer import HashTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """Histories through a transformer; every other feature as in ``mlp``. A side without history is an ``mlp``.

    Attributes:
        hidden_dim: width of the transformer.
        layers: transformer blocks.
        heads: attention heads; they divide ``hidden_dim``.
        causal: whether a position sees only itself and older ones; goes with the pooling ``last``.
        max_positions: positions, counted from the newest, that are told apart; older ones share the last.
        attention_dropout: dropout within the transformer.
        feature_dim: width of each feature's vector.
        hidden_dims: hidden layers of the projection; () for a linear one.
        dropout: share of the projection's inputs that are dropped in training.
        layer_norm: whether the hidden layers' input is normalised.
        activation: between hidden layers.
        text_buckets: rows of the table of hashed words and trigrams.
        text_max_words: words of a text that are read.
    """

    hidden_dim: int = 64
    layers: int = 2
    heads: int = 2
    causal: bool = True
    max_positions: int = 50
    attention_dropout: float = 0.2
    feature_dim: int = 64
    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.1
    layer_norm: bool = False
    activation: Activation = "gelu"
    text_buckets: int = 16384
    text_max_words: int = 128

    def __post_init__(self) -> None:
        require_positive(hidden_dim=self.hidden_dim, layers=self.layers, heads=self.heads, max_positions=self.max_positions)
        require_positive(feature_dim=self.feature_dim, text_buckets=self.text_buckets, text_max_words=self.text_max_words)
        if self.hidden_dim % self.heads:
            raise ConfigError(f"tower.hidden_dim is {self.hidden_dim}, which tower.heads={self.heads} does not divide; choose a multiple")
        if not 0.0 <= self.attention_dropout < 1.0:
            raise ConfigError(f"tower.attention_dropout is {self.attention_dropout}; it must be at least 0 and below 1")
        _ = self.head

    @property
    def head(self) -> Head:
        """How the concatenated features are projected."""
        return Head(hidden_dims=self.hidden_dims, dropout=self.dropout, layer_norm=self.layer_norm, activation=self.activation)

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """Hashed words and trigrams, the same on both sides."""
        return HashTokenizer(buckets=self.text_buckets, max_words=self.text_max_words)

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """Pooled bucket vectors."""
        return HashedText(self.text_buckets, self.feature_dim, pooling)

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Self-attention, then the pooling."""
        blocks = [AttentionBlock(self.hidden_dim, self.heads, self.attention_dropout) for _ in range(self.layers)]
        return SelfAttentiveHistory(items, blocks, self.max_positions, self.causal, pooling)

    def notes(self, schema: SideSchema) -> list[str]:
        """That there is nothing to attend to."""
        return [] if schema.of(Kind.HISTORY) else ["this side has no history: tower=sequence works as mlp here"]
