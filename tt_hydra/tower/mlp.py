"""The tower of embeddings: fast, needs no pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tt_hydra.contracts import Pooling, Side, SideSchema, Tokenizer
from tt_hydra.tower.pooled import HashedText, PooledHistory
from tt_hydra.tower.spec import Activation, Head, HistoryEncoder, Join, Layout, TextEncoder, require_positive
from tt_hydra.tower.tokenizer import HashTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Mlp:
    """Embeddings of every feature, hashed texts, pooled histories, and a projection.

    Attributes:
        feature_dim: width of each feature's vector.
        hidden_dims: hidden layers of the projection; () makes the tower linear in its embeddings, a factorisation model.
        dropout: share of the projection's inputs that are dropped in training.
        layer_norm: whether the hidden layers' input is normalised; without hidden layers there is none.
        activation: between hidden layers.
        text_buckets: rows of the table of hashed words and trigrams.
        text_max_words: words of a text that are read.
        join: ``project``: the features stand side by side and are projected; ``sum``: they are added up as they are, a history as the
            items' own vectors pooled. Then a query with nothing but a history is the mean of what it took (item-to-item collaborative
            filtering), and one with an id too is that of SVD++ (Koren 2008). Needs ``feature_dim`` to be the shared dimension.
    """

    feature_dim: int = 64
    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.1
    layer_norm: bool = False
    activation: Activation = "gelu"
    text_buckets: int = 16384
    text_max_words: int = 128
    join: Join = "project"

    def __post_init__(self) -> None:
        require_positive(feature_dim=self.feature_dim, text_buckets=self.text_buckets, text_max_words=self.text_max_words)
        _ = self.head

    @property
    def head(self) -> Head:
        """How the concatenated features are projected."""
        return Head(
            hidden_dims=self.hidden_dims, dropout=self.dropout, layer_norm=self.layer_norm, activation=self.activation, join=self.join
        )

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """Hashed words and trigrams, the same on both sides."""
        return HashTokenizer(buckets=self.text_buckets, max_words=self.text_max_words)

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """Pooled bucket vectors."""
        return HashedText(self.text_buckets, self.feature_dim, pooling)

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Pooled item vectors, mapped to ``feature_dim`` by weights of the query side unless all is added up."""
        return PooledHistory(items, None if self.join == "sum" else self.feature_dim, pooling)

    def notes(self, schema: SideSchema) -> list[str]:
        """Nothing."""
        return []
