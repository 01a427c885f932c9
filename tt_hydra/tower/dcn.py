"""The tower of explicit feature crosses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tt_hydra.contracts import Pooling, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.pooled import HashedText, PooledHistory
from tt_hydra.tower.spec import Activation, Cross, Head, HistoryEncoder, Layout, TextEncoder, require_positive
from tt_hydra.tower.tokenizer import HashTokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Dcn:
    """Features, texts and histories as in ``mlp``, then a cross network over all of them (DCN-V2), then a projection.

    Source: Wang et al., DCN V2: Improved deep and cross network, 2021 (arXiv:2008.13535).

    Attributes:
        cross_layers: layers of the cross network; n of them multiply up to n + 1 features.
        rank: rank of their weight matrices; None for full ones, whose size is the square of all features' widths together.
        structure: ``parallel`` adds hidden layers beside the crosses, ``stacked`` puts them on top; the same without hidden layers.
        feature_dim: width of each feature's vector.
        hidden_dims: hidden layers of the projection.
        dropout: share of the inputs of crosses and projection that are dropped in training.
        layer_norm: whether the hidden layers' input is normalised; without hidden layers there is none.
        activation: between hidden layers.
        text_buckets: rows of the table of hashed words and trigrams.
        text_max_words: words of a text that are read.
    """

    cross_layers: int = 2
    rank: int | None = 32
    structure: Literal["parallel", "stacked"] = "parallel"
    feature_dim: int = 64
    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.1
    layer_norm: bool = False
    activation: Activation = "gelu"
    text_buckets: int = 16384
    text_max_words: int = 128

    def __post_init__(self) -> None:
        require_positive(cross_layers=self.cross_layers, rank=1 if self.rank is None else self.rank, feature_dim=self.feature_dim)
        require_positive(text_buckets=self.text_buckets, text_max_words=self.text_max_words)
        if self.structure not in ("parallel", "stacked"):
            raise ConfigError(f"tower.structure is {self.structure!r}; allowed: parallel, stacked")
        _ = self.head

    @property
    def head(self) -> Head:
        """How the concatenated features are crossed and projected."""
        return Head(
            hidden_dims=self.hidden_dims,
            dropout=self.dropout,
            layer_norm=self.layer_norm,
            activation=self.activation,
            cross=Cross(layers=self.cross_layers, rank=self.rank, structure=self.structure),
        )

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """Hashed words and trigrams, the same on both sides."""
        return HashTokenizer(buckets=self.text_buckets, max_words=self.text_max_words)

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """Pooled bucket vectors."""
        return HashedText(self.text_buckets, self.feature_dim, pooling)

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Pooled item vectors, mapped to ``feature_dim`` by weights of the query side."""
        return PooledHistory(items, self.feature_dim, pooling)

    def notes(self, schema: SideSchema) -> list[str]:
        """That there is nothing to multiply."""
        return ["this side has one feature: tower=dcn multiplies it with itself"] if len(schema.features) == 1 else []
