"""What goes into a training step and into a loss: batches, how their candidates were drawn, targets, and the protocols of the parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from tt_hydra.contracts.features import Features, FloatArray


class Origin(IntFlag):
    """How a candidate came into a batch; several at once where it came in several ways, 0 for a positive that is no one's negative."""

    IN_BATCH = 1
    UNIFORM = 2
    POPULARITY = 4
    CATALOGUE = 8
    GIVEN = 16
    BM25 = 32
    MINED = 64
    QUEUE = 128
    REMOTE = 256


@dataclass(frozen=True, slots=True)
class OwnNegatives:
    """Negatives that were drawn for one query each, as (query, candidate) pairs in ascending order of the query.

    Attributes:
        query: ``(pairs,)`` int64, query of the batch.
        column: ``(pairs,)`` int64, candidate of the batch.
        teacher: ``(pairs,)`` float32, a teacher's score of the pair, NaN where there is none.
    """

    query: Tensor
    column: Tensor
    teacher: Tensor

    @classmethod
    def none(cls, device: torch.device | str = "cpu") -> OwnNegatives:
        """No pairs."""
        whole = torch.empty(0, dtype=torch.int64, device=device)
        return cls(whole, whole, torch.empty(0, device=device))

    def to(self, device: torch.device | str) -> OwnNegatives:
        """The same on another device."""
        return OwnNegatives(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One training step's input: ``batch`` queries against ``items`` candidates that they share.

    Attributes:
        queries: features of the queries.
        items: features of the candidates; an item that occurs twice is held once where its features do not depend on time.
        item_rows: ``(items,)`` int64, catalogue row of each candidate.
        item_keys: ``(items,)`` int64, equal for two candidates if and only if their features are equal (across ranks too).
        positive: ``(batch,)`` int64, the candidate that is each query's positive.
        known: ``(pairs, 2)`` int64, (query of this batch, catalogue row) for every positive of these queries, and of those that ask the
            same text, in the training part.
        origin: ``(items,)`` int64, ``Origin`` flags; 0 for a candidate that may not serve as a negative.
        log_q: ``(items,)`` float32, log probability that sampling, in whatever way, makes this item a candidate, up to a constant; zeros
            for the catalogue.
        own: negatives that were drawn for one query each; the other queries share them.
        weight: ``(batch,)`` float32, weight of each example.
        teacher: ``(batch,)`` float32, a teacher's score of each query and its positive, NaN where there is none.
        labels: ``(batch,)`` float32 each, what the data says of the examples besides that they happened (a rating), NaN where unknown.
        guide: vectors ``(batch, width)`` and ``(items, width)`` of another model, by which false negatives are recognised; or None.
    """

    queries: Features
    items: Features
    item_rows: Tensor
    item_keys: Tensor
    positive: Tensor
    known: Tensor
    origin: Tensor
    log_q: Tensor
    own: OwnNegatives
    weight: Tensor
    teacher: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    guide: tuple[Tensor, Tensor] | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in self.__dataclass_fields__ if name not in ("labels", "guide")}
        labels = {name: value.to(device) for name, value in self.labels.items()}
        guide = None if self.guide is None else (self.guide[0].to(device), self.guide[1].to(device))
        return Batch(**moved, labels=labels, guide=guide)


class Screen(Protocol):
    """Recognises false negatives: candidates so close to a query that they are likely positives nobody marked."""

    def __call__(self, rows: slice) -> Tensor:
        """``(rows, items)`` bool, true where a candidate is to be left out for these consecutive queries."""

    def by_column(self, columns: Tensor) -> Tensor:
        """``(columns, batch)`` bool, the same for all queries and the candidates in these columns."""


class RatePairs(Protocol):
    """A teacher's model."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that its scores depend on."""

    def __call__(self, questions: Sequence[str], items: Sequence[str]) -> FloatArray:
        """``(pairs,)`` float32 scores of pairs of texts."""


class Teacher(Protocol):
    """Where the scores come from that a distilling loss learns from."""

    def build(self) -> RatePairs | None:
        """The model that rates pairs of texts; None where only the data has scores."""


class ScreenSpec(Protocol):
    """Hyper-parameters of a false-negative filter."""

    def encoder(self) -> Callable[[Sequence[str]], FloatArray] | None:
        """The other model that it asks, as a function from texts to ``(texts, width)`` float32 rows of length 1; None for no model."""

    def build(self, queries: Tensor, items: Tensor, guide: tuple[Tensor, Tensor] | None, positive: Tensor) -> Screen | None:
        """The filter of one step, without gradient; None where nothing is left out.

        Args:
            queries: ``(batch, dim)`` vectors of the towers.
            items: ``(items, dim)``.
            guide: vectors of the other model for the same queries and items; given where there is an encoder.
            positive: ``(batch,)`` each query's positive.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What a loss is told about its candidates. Nothing in it is of size batch x items: such masks are made a tile at a time.

    Attributes:
        positive: ``(batch,)`` int64 column of each query's positive.
        known: ``(pairs, 2)`` int64 (query, column) of known positives, by ascending query; may hold the positive itself.
        origin: ``(items,)`` int64 ``Origin`` flags; 0 is nobody's negative.
        log_q: ``(items,)`` float32 log probability that the item is a candidate, and the log of how many candidates it is, where it is held
            at several moments: together they count once.
        positive_log_q: ``(batch,)`` float32 that of each query's positive, which counts for its query once; None takes ``log_q``.
        own: negatives that were drawn for one query each.
        weight: ``(batch,)`` float32.
        teacher: ``(batch,)`` float32, NaN where there is none.
        labels: ``(batch,)`` float32 each, NaN where unknown.
        screen: leaves out likely false negatives, or None.
    """

    positive: Tensor
    known: Tensor
    origin: Tensor
    log_q: Tensor
    own: OwnNegatives
    weight: Tensor
    teacher: Tensor
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    screen: Screen | None = None
    positive_log_q: Tensor | None = None

    @classmethod
    def plain(cls, positive: Tensor, items: int, **others: object) -> Self:
        """Targets in which every candidate is every other query's negative, unless ``others`` say more."""
        device, rows = positive.device, len(positive)
        values: dict[str, object] = {
            "known": torch.empty(0, 2, dtype=torch.int64, device=device),
            "origin": torch.full((items,), int(Origin.IN_BATCH), device=device),
            "log_q": torch.zeros(items, device=device),
            "own": OwnNegatives.none(device),
            "weight": torch.ones(rows, device=device),
            "teacher": torch.full((rows,), torch.nan, device=device),
        }
        return cls(positive=positive, **(values | others))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Keeps the known pairs' queries together in memory, where a tile's pairs are found by bisection."""
        object.__setattr__(self, "known", self.known.T.contiguous().T)

    def excluded(self, rows: slice) -> Tensor:
        """``(rows, items)`` bool, true where a candidate is no negative of the query; false at the positive.

        Args:
            rows: consecutive queries, with both ends given.
        """
        count, positive = rows.stop - rows.start, self.positive[rows]
        mask = (self.origin == 0).expand(count, -1).clone() if self.screen is None else self.screen(rows) | (self.origin == 0)
        first, last = torch.searchsorted(self.known[:, 0], torch.tensor([rows.start, rows.stop], device=mask.device)).tolist()
        mask[self.known[first:last, 0] - rows.start, self.known[first:last, 1]] = True
        mask[torch.arange(count, device=mask.device), positive] = False
        return mask

    def offset(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Log sampling probabilities ``(items,)`` of the negatives of some queries, and ``(rows,)`` of their positives."""
        return self.log_q, self.log_q[self.positive[rows]] if self.positive_log_q is None else self.positive_log_q[rows]


@dataclass(frozen=True, slots=True)
class LossOutput:
    """A loss and what it saw, all scalars; everything but ``loss`` is a mean over the batch without gradient.

    Attributes:
        loss: what is minimised.
        positive_similarity: before the temperature.
        hardest_negative_similarity: before the temperature.
        effective_negatives: exp of the entropy of the softmax over a query's negatives, similarities divided by the temperature: how many
            negatives push at once. NaN for a loss without temperature.
        parts: further figures by name, for the log: a task's own loss, a learned weight.
    """

    loss: Tensor
    positive_similarity: Tensor
    hardest_negative_similarity: Tensor
    effective_negatives: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class LossFunction(Protocol):
    """A retrieval objective on two matrices of vectors (already normalised where the metric is cosine). No model, no process group."""

    def __call__(self, queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> LossOutput:
        """The weighted mean over the valid rows of ``queries (batch, dim)`` against ``items (items, dim)``."""


class Loss(Protocol):
    """Hyper-parameters of a loss.

    ``uses_temperature`` and ``uses_log_q`` say which of the inputs reach the result. Similarities and softmax are computed in
    float32 with autocast off.
    """

    @property
    def uses_temperature(self) -> bool:
        """Whether the temperature changes the loss."""

    @property
    def uses_log_q(self) -> bool:
        """Whether the sampling probabilities change the loss."""

    def build(self) -> LossFunction:
        """The function; an ``nn.Module`` where the loss has weights of its own, which are then trained along. Itself where it has none."""


class Temperature(Protocol):
    """Hyper-parameters of a temperature."""

    def build(self) -> nn.Module:
        """A module whose ``forward(progress: float) -> Tensor`` gives the scalar temperature at ``progress`` in [0, 1]."""


class Watch(Protocol):
    """Someone who follows a training from outside and may end it: a sweep that prunes."""

    def __call__(self, epoch: int, value: float) -> bool:
        """Told after each validation.

        Args:
            epoch: epochs done, from 1.
            value: the validation figure that chooses the checkpoint, higher is better.

        Returns:
            Whether the training shall end as not worth going on.
        """
