"""What every tower option provides, and the small value types that its parts exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from tt_hydra.contracts import Padded, Pooling, Side, SideSchema, Tokenizer
from tt_hydra.errors import ConfigError

Activation = Literal["relu", "gelu", "silu", "tanh"]
Join = Literal["project", "sum"]
"""How a side's features become one vector: side by side through a projection, or added up as they are."""
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a concatenated vector.

    Attributes:
        width: number of dimensions.
        pretrained: whether it holds a pretrained text vector, whose geometry a projection must keep at the start.
    """

    width: int
    pretrained: bool = False


Layout = tuple[Block, ...]


def width_of(layout: Layout) -> int:
    """Total width of a concatenated vector."""
    return sum(block.width for block in layout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cross:
    """Explicit products of features; see ``cross.CrossNetwork``.

    Attributes:
        layers: products of up to ``layers + 1`` features.
        rank: of the weight matrices; None for full ones.
        structure: where hidden layers stand: beside the crosses, or on top of them.
    """

    layers: int
    rank: int | None = None
    structure: Literal["parallel", "stacked"] = "parallel"


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """How a side's concatenated feature vector becomes a vector of the shared dimension; see ``projection.Projection``."""

    hidden_dims: tuple[int, ...] = ()
    dropout: float = 0.0
    layer_norm: bool = False
    activation: Activation = "gelu"
    cross: Cross | None = None
    join: Join = "project"

    @property
    def linear(self) -> bool:
        """Whether it is a linear map and nothing else."""
        return not self.hidden_dims and self.cross is None

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden_dims):
            raise ConfigError(f"tower.hidden_dims is {list(self.hidden_dims)}; each width must be at least 1, [] means no hidden layer")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"tower.dropout is {self.dropout}; it must be at least 0 and below 1")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"tower.activation is {self.activation!r}; allowed: {', '.join(ACTIVATIONS)}")
        if self.join not in get_args(Join):
            raise ConfigError(f"tower.join is {self.join!r}; allowed: {', '.join(get_args(Join))}")
        if self.join == "sum" and not self.linear:
            raise ConfigError(
                f"tower.join=sum adds up features without a projection, but tower.hidden_dims={list(self.hidden_dims)} are layers of one; "
                "set tower.join=project, or tower.hidden_dims=[]"
            )


def require_positive(**values: int) -> None:
    """Refuses tower fields below 1.

    Raises:
        ConfigError: names the first such field.
    """
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"tower.{name} is {value}; it must be at least 1")


class TextEncoder(nn.Module, ABC):
    """Token ids become one vector: the base of the hashed and the transformer encoder.

    Attributes:
        width: dimension of a text's vector.
        pretrained: whether it starts from weights that already mean something; a projection keeps the geometry of such vectors.
        standalone: whether its vectors need no projection where a text is a side's only feature.
        cached: whether its vectors are worth a cache, as they are dear; histories then pass no gradient to it.
        trained: whether it has weights that training changes.
    """

    width: int
    pretrained: bool = False
    standalone: bool = False
    cached: bool = False
    trained: bool = True

    @abstractmethod
    def forward(self, tokens: Padded) -> Tensor:
        """Vectors ``(rows, width)``; zeros for a text without tokens."""

    def lr_scales(self) -> dict[str, float]:
        """By parameter name: the factor on the learning rate, where it is not 1."""
        return {}

    def save_assets(self, folder: Path) -> None:
        """Writes what is needed to make the same encoder without weights and without the internet; nothing by default."""


class HistoryEncoder(nn.Module, ABC):
    """Sequences of item vectors become one vector each: the base of the pooled and the self-attentive encoder.

    Attributes:
        layout: what the result is made of.
    """

    layout: Layout

    @abstractmethod
    def forward(self, positions: Padded, items: Tensor) -> Tensor:
        """Vectors ``(rows, width)`` of histories whose ``positions`` number rows of ``items (distinct, item width)``."""


class RowTable(nn.Module):
    """The base of a module whose ``weight`` is a table of which a batch reads some rows.

    Attributes:
        weight: ``(rows, width)``.
        sparse: whether the gradient of the table holds the rows that were read and no others, as a sparse tensor.
    """

    weight: nn.Parameter
    sparse: bool = False


def look_up(table: Tensor, codes: Padded, sparse: bool = False) -> Tensor:
    """Rows of a table at each position, ``(rows, length, width)``; padded positions read row 0, whatever code stands there.

    Uses the embedding kernel: its gradient is added up in a fixed order on the CPU, advanced indexing's is not. ``sparse`` asks for a
    sparse gradient, see ``RowTable``.
    """
    return torch.nn.functional.embedding(codes.ids.masked_fill(~codes.mask, 0), table, sparse=sparse)


@runtime_checkable
class Saved(Protocol):
    """A tokenizer that comes with files of its own."""

    def save(self, folder: Path) -> None:
        """Writes them."""


class TowerSpec(Protocol):
    """Hyper-parameters of a tower: a component of the config group ``tower``."""

    @property
    def feature_dim(self) -> int:
        """Width of the vector of a categorical, multi-valued or numeric feature."""

    @property
    def head(self) -> Head:
        """How the concatenated features are projected."""

    def tokenizer(self, side: Side, assets: Path | None = None) -> Tokenizer:
        """Tokenizer of the texts of a side; from a folder of ``TextEncoder.save_assets`` where one is given."""

    def text_encoder(self, pooling: Pooling, only_text: bool, assets: Path | None = None) -> TextEncoder:
        """Encoder of a side's texts; ``only_text`` says that the side has no other feature."""

    def history_encoder(self, items: Layout, pooling: Pooling) -> HistoryEncoder:
        """Encoder of histories of items whose feature vectors have this layout."""

    def notes(self, schema: SideSchema) -> list[str]:
        """What a user should know about this tower on such a side; each is logged once."""
