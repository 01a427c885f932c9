"""What goes into a tower: names of types, schemas, encoded features.

Shapes: ``batch`` query rows, ``items`` candidate rows, ``dim`` the shared embedding dimension, ``length`` a padded sequence length.
A *row* is the dense int64 number of a query or an item inside a prepared data set; an *id* is what the user calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Metric = Literal["dot", "cosine"]
Side = Literal["query", "item"]
Split = Literal["train", "valid", "test"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

PAD = 0
"""Code of a padded position in a categorical or multi-valued feature."""
UNKNOWN = 1
"""Code of a value that is missing or was not in the training part; known values are coded from 2."""


class Kind(StrEnum):
    """How a feature is encoded, after derived features (hour, weekday, buckets, statistics) are resolved."""

    TEXT = "text"
    CATEGORICAL = "categorical"
    MULTI = "multi"
    NUMERIC = "numeric"
    HISTORY = "history"


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """One input of a tower.

    Attributes:
        size: categorical, multi: number of codes, ``PAD`` and ``UNKNOWN`` included. Other kinds: 0.
    """

    name: str
    kind: Kind
    size: int = 0


@dataclass(frozen=True, slots=True)
class SideSchema:
    """The features of one side, in declaration order."""

    features: tuple[Feature, ...]

    def of(self, kind: Kind) -> tuple[Feature, ...]:
        """The features of one kind, in order."""
        return tuple(feature for feature in self.features if feature.kind is kind)

    @property
    def only_text(self) -> bool:
        """Whether every feature is a text."""
        return bool(self.features) and len(self.of(Kind.TEXT)) == len(self.features)


@dataclass(frozen=True, slots=True)
class Schema:
    """The features of both sides."""

    query: SideSchema
    item: SideSchema

    def side(self, side: Side) -> SideSchema:
        """The schema of one side."""
        return self.query if side == "query" else self.item


@dataclass(frozen=True, slots=True)
class Ragged:
    """Rows of unequal length in two flat arrays: row ``i`` is ``values[offsets[i]:offsets[i + 1]]``."""

    values: npt.NDArray[np.generic]
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def row(self, index: int) -> npt.NDArray[np.generic]:
        """One row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def owners(self) -> IntArray:
        """The row of each value, ``(values,)``."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, rows: IntArray) -> Ragged:
        """The named rows, in that order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return Ragged(self.values[np.repeat(self.offsets[:-1][rows], lengths) + within], offsets)


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences of codes, token ids or positions, padded to the longest one.

    Attributes:
        ids: ``(rows, length)`` int64; what stands at a padded position has no meaning.
        mask: ``(rows, length)`` bool, true at real positions.
    """

    ids: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Padded:
        """The same on another device."""
        return Padded(self.ids.to(device), self.mask.to(device))

    def take(self, rows: Tensor) -> Padded:
        """The named rows, in that order, padded to the longest of them (at least one position)."""
        mask = self.mask[rows]
        longest = max(1, int((mask.any(dim=0) * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax()))
        return Padded(self.ids[rows, :longest], mask[:, :longest])


@dataclass(frozen=True, slots=True)
class Features:
    """The encoded features of some rows of one side.

    Attributes:
        size: number of rows.
        values: by feature name. text, multi: ``Padded``; categorical: ``(size,)`` int64; numeric: ``(size, 2)`` float32, the
            normalised value (0 where missing) and a missing flag; history: ``History``.
        rows: ``(size,)`` int64 row numbers in the prepared catalogue, or None for rows that are not in it (a new item, a live query).
    """

    size: int
    values: Mapping[str, Tensor | Padded | History]
    rows: Tensor | None = None

    def to(self, device: torch.device | str) -> Features:
        """The same on another device."""
        values = {name: value.to(device) for name, value in self.values.items()}
        return Features(self.size, values, None if self.rows is None else self.rows.to(device))

    def take(self, rows: Tensor) -> Features:
        """The named rows, in that order; ``rows (n,)`` int64 on the device of the values."""
        values = {name: value[rows] if isinstance(value, Tensor) else value.take(rows) for name, value in self.values.items()}
        return Features(len(rows), values, None if self.rows is None else self.rows[rows])


@dataclass(frozen=True, slots=True)
class History:
    """A query's earlier items, oldest first, newest last, each distinct item's features held once.

    Attributes:
        positions: ``ids`` number rows of ``items``; a query without history has an all-false mask row.
        items: the distinct items of all these histories (never empty: at least one row, used or not).
    """

    positions: Padded
    items: Features

    def to(self, device: torch.device | str) -> History:
        """The same on another device."""
        return History(self.positions.to(device), self.items.to(device))

    def take(self, rows: Tensor) -> History:
        """The histories of the named queries, with the items that they name and no others."""
        positions = self.positions.take(rows)
        named = torch.unique(positions.ids[positions.mask])
        items = named if len(named) else named.new_zeros(1)
        ids = torch.searchsorted(items, positions.ids).clamp_(max=len(items) - 1)
        return History(Padded(ids, positions.mask), self.items.take(items))


class Tokenizer(Protocol):
    """Turns texts into token ids, prompts and truncation included."""

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Token ids (int32) of each text; an empty text may give an empty row."""


@runtime_checkable
class Cutting(Protocol):
    """A tokenizer that reads a text up to a limit, and can say how many were longer."""

    @property
    def limit(self) -> str:
        """The limit in words, with its key."""

    def counted(self, texts: Sequence[str]) -> tuple[Ragged, int]:
        """What calling it gives, and how many of the texts were cut."""


class Pooling(Protocol):
    """Hyper-parameters of a pooling: a masked sequence of vectors becomes one vector."""

    def build(self, dim: int) -> nn.Module:
        """A module ``forward(vectors (rows, length, dim), mask (rows, length)) -> (rows, dim)``; zeros where a mask row is empty."""
