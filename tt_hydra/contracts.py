"""What every part of the project agrees on: value types and protocols. Imports numpy and torch, nothing of ours.

Shapes: ``batch`` query rows, ``items`` candidate rows, ``dim`` the shared embedding dimension, ``length`` a padded sequence length.
A *row* is the dense int64 number of a query or an item inside a prepared data set; an *id* is what the user calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

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


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step's input: ``batch`` queries against ``items`` candidates that they share.

    Attributes:
        queries: features of the queries.
        items: features of the candidates; an item that occurs twice is held once where its features do not depend on time.
        item_rows: ``(items,)`` int64, catalogue row of each candidate.
        item_keys: ``(items,)`` int64, equal for two candidates if and only if their features are equal (across ranks too).
        positive: ``(batch,)`` int64, the candidate that is each query's positive.
        known: ``(pairs, 2)`` int64, (query of this batch, catalogue row) for every positive of these queries in the training part.
        drawn: ``(items,)`` bool, whether a candidate may serve as a negative of queries that it was not paired with.
        log_q: ``(items,)`` float32, log of how often sampling makes this item a candidate, up to a constant: for drawn negatives the
            probability of one draw, for in-batch ones that of being in the whole batch at all; zeros for the catalogue.
        weight: ``(batch,)`` float32, weight of each example.
    """

    queries: Features
    items: Features
    item_rows: Tensor
    item_keys: Tensor
    positive: Tensor
    known: Tensor
    drawn: Tensor
    log_q: Tensor
    weight: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


class Tokenizer(Protocol):
    """Turns texts into token ids, prompts and truncation included."""

    def __call__(self, texts: Sequence[str]) -> Ragged:
        """Token ids (int32) of each text; an empty text may give an empty row."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a loss is told about its candidates.

    Attributes:
        positive: ``(batch,)`` int64 column of each query's positive.
        excluded: ``(batch, items)`` bool, true where a candidate is no negative of the query (accidental hit, another known
            positive, not drawn for it); never true at the positive.
        log_q: ``(items,)`` float32 log sampling probability.
        weight: ``(batch,)`` float32.
    """

    positive: Tensor
    excluded: Tensor
    log_q: Tensor
    weight: Tensor


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A loss and what it saw, all scalars; the similarities are means over the batch, before the temperature, without gradient."""

    loss: Tensor
    positive_similarity: Tensor
    hardest_negative_similarity: Tensor


class Loss(Protocol):
    """A retrieval objective on two matrices of vectors (already normalised where the metric is cosine). No model, no process group.

    ``uses_temperature`` and ``uses_log_q`` say which of the inputs reach the result. Similarities and softmax are computed in
    float32 with autocast off.
    """

    @property
    def uses_temperature(self) -> bool:
        """Whether the temperature changes the loss."""

    @property
    def uses_log_q(self) -> bool:
        """Whether the sampling probabilities change the loss."""

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the valid rows of ``queries (batch, dim)`` against ``items (items, dim)``."""


class FittedSampler(Protocol):
    """A negative sampler that knows the catalogue.

    ``in_batch`` says whether the other queries' positives are negatives too.
    """

    @property
    def in_batch(self) -> bool:
        """Whether other queries' positives serve as negatives."""

    def draw(self, positives: IntArray, given: Ragged | None, generator: np.random.Generator) -> IntArray:
        """Catalogue rows of the drawn negatives, shared by the batch.

        Args:
            positives: ``(batch,)`` catalogue rows of the positives.
            given: for each query of the batch the negatives that the data names, or None.
            generator: the only source of randomness.
        """

    def log_q(self, rows: IntArray) -> FloatArray:
        """Log probability with which one draw gives each of these catalogue rows."""


class NegativeSampler(Protocol):
    """Hyper-parameters of a negative sampler."""

    @property
    def requires_given(self) -> bool:
        """Whether it draws from negatives that the data names, so that it cannot do without them."""

    def fit(self, counts: FloatArray) -> FittedSampler:
        """The sampler for a catalogue, given how often each item is a positive in the training part, ``(num_items,)``."""


class Temperature(Protocol):
    """Hyper-parameters of a temperature."""

    def build(self) -> nn.Module:
        """A module whose ``forward(progress: float) -> Tensor`` gives the scalar temperature at ``progress`` in [0, 1]."""


class Pooling(Protocol):
    """Hyper-parameters of a pooling: a masked sequence of vectors becomes one vector."""

    def build(self, dim: int) -> nn.Module:
        """A module ``forward(vectors (rows, length, dim), mask (rows, length)) -> (rows, dim)``; zeros where a mask row is empty."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best items of each query, best first.

    Attributes:
        scores: ``(queries, k)`` float32, higher is better, -inf where fewer than k items are left.
        rows: ``(queries, k)`` int64 catalogue rows, -1 where fewer than k items are left.
    """

    scores: FloatArray
    rows: IntArray


class VectorIndex(Protocol):
    """An immutable nearest-neighbour index over the rows of a matrix."""

    @property
    def size(self) -> int:
        """Number of indexed rows."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors that it takes."""

    @property
    def metric(self) -> Metric:
        """Similarity that its scores are."""

    @property
    def search_params(self) -> Mapping[str, int]:
        """Search parameters that it takes, with their defaults (``{"efSearch": 64}``); empty for an exact index."""

    def search(
        self, queries: FloatArray, k: int, params: Mapping[str, int] | None = None, allowed: BoolArray | None = None
    ) -> SearchResult:
        """The k best rows of each query among the allowed ones.

        Args:
            queries: ``(queries, dim)``.
            k: how many; may exceed ``size``.
            params: values for some of ``search_params``, for this call only.
            allowed: ``(size,)`` bool, rows that may be returned; None for all.
        """

    def save(self, folder: Path) -> None:
        """Writes it under an existing folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PerQuery:
    """A metric's value for each query, the raw material of intervals and paired comparisons."""

    query_ids: Sequence[str]
    values: Mapping[str, FloatArray] = field(default_factory=dict)
