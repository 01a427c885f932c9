"""Where a step's negatives come from: what samplers know, are asked and give, and how hard a curriculum wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import nn

from tt_hydra.contracts.features import FloatArray, IntArray, Ragged
from tt_hydra.contracts.training import Origin


@dataclass(frozen=True, slots=True)
class Hardness:
    """How hard the negatives of a step shall be.

    Attributes:
        share: part of the mined negatives that is used, in [0, 1].
        window: ranks (first, last), counted from 1, between which mined negatives are taken; None for the sampler's own.
        margin: largest allowed ratio of a mined negative's similarity to the positive's; None for the sampler's own.
        temperature: factor on the temperature.
        effective_negatives: the number that is aimed at; None where none is declared.
    """

    share: float = 1.0
    window: tuple[int, int] | None = None
    margin: float | None = None
    temperature: float = 1.0
    effective_negatives: float | None = None


class Curriculum(Protocol):
    """Hyper-parameters of a curriculum."""

    @property
    def observes(self) -> bool:
        """Whether it answers to the effective number of negatives, which the loss must then be able to tell."""

    def build(self) -> CurriculumState:
        """Its state, whose buffers belong to a checkpoint."""


class CurriculumState(nn.Module):
    """A running curriculum."""

    def forward(self, progress: float) -> Hardness:
        """How hard the step at ``progress`` in [0, 1] shall be."""
        raise NotImplementedError

    def observe(self, effective_negatives: float, progress: float) -> None:
        """Takes note of what a step saw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingView:
    """What a sampler may know of the training part.

    Attributes:
        counts: ``(num_items,)`` number of training examples whose positive each item is.
        questions: ``(examples,)`` number of each example's question; examples of one query with one text ask the same question.
        known: by question, the catalogue rows of all positives of its query in the training part.
        question_texts: the questions' texts, all text features of one joined; None where the query side has no text.
        item_texts: the catalogue's texts likewise.
        only_text: whether a query is nothing but texts, so that who asks the same text asks the same.
        content: ``(num_items,)`` equal numbers for items whose features are equal.
    """

    counts: FloatArray
    questions: IntArray
    known: Ragged
    question_texts: Callable[[], Sequence[str]] | None = None
    item_texts: Callable[[], Sequence[str]] | None = None
    only_text: bool = False
    content: Callable[[], IntArray] | None = None

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.counts)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawRequest:
    """The batch that negatives are drawn for, over all ranks: each of them draws for the whole, and keeps what is its own.

    Attributes:
        examples: ``(batch,)`` numbers of the training examples.
        positives: ``(batch,)`` catalogue rows of their positives.
        given: for each query the negatives that the data names, or None.
        given_teacher: a teacher's scores of these, in the same order, or None.
        hardness: of this step.
        step: number of the optimizer step, from 0.
    """

    examples: IntArray
    positives: IntArray
    given: Ragged | None = None
    given_teacher: FloatArray | None = None
    hardness: Hardness = Hardness()
    step: int = 0


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely rows were to be drawn for a query of the batch, whichever.

    Attributes:
        rows: ``(reachable,)`` catalogue rows that could have been, ascending.
        log_q: ``(reachable,)`` float32, log probability that the row was drawn for at least one query.
    """

    rows: IntArray
    log_q: FloatArray

    @classmethod
    def none(cls) -> Chances:
        """Nothing is drawn for one query."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float32))

    @classmethod
    def of(cls, rows: IntArray, chance: FloatArray) -> Chances:
        """From ``(pairs,)`` rows, each of which one query gets with a probability, whatever the other queries get."""
        distinct, number = np.unique(rows, return_inverse=True)
        with np.errstate(divide="ignore"):
            missed = np.bincount(number, weights=np.log1p(-chance.astype(np.float64)), minlength=len(distinct))
            return cls(distinct, np.log(-np.expm1(missed)).astype(np.float32))

    def log_q_of(self, rows: IntArray) -> FloatArray:
        """``(rows,)`` log probabilities, -inf for a row that could not be drawn."""
        if not len(self.rows):
            return np.full(len(rows), -np.inf, np.float32)
        place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[place] == rows, self.log_q[place], np.float32(-np.inf))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Negatives of a batch, all of them shared by its queries.

    Attributes:
        rows: ``(drawn,)`` catalogue rows; a row may be drawn for several queries.
        origin: ``(drawn,)`` int64 ``Origin`` flags.
        owner: ``(drawn,)`` int64, the query of the batch that a row was drawn for; -1 for no one in particular.
        teacher: ``(drawn,)`` float32, a teacher's score of (owner, row), NaN where there is none.
        chances: how likely each row was to be drawn for a query.
    """

    rows: IntArray
    origin: IntArray
    owner: IntArray
    teacher: FloatArray
    chances: Chances = field(default_factory=Chances.none)

    @classmethod
    def shared(cls, rows: IntArray, origin: Origin) -> Drawn:
        """Rows that were drawn for no query in particular."""
        size = len(rows)
        nan = np.full(size, np.nan, np.float32)
        return cls(rows=rows, origin=np.full(size, int(origin)), owner=np.full(size, -1), teacher=nan)

    def log_q(self, rows: IntArray, presence: FloatArray, in_batch: bool) -> FloatArray:
        """``(rows,)`` log probability of each candidate to be one, in either of two independent ways: ``p + (1 - p) q``.

        Args:
            rows: catalogue rows of the candidates.
            presence: log probability that each is a candidate which all queries share. Where none is, it stands in for what is never drawn
                for a query, a positive.
            in_batch: whether the other queries' positives are shared.
        """
        drawn = self.chances.log_q_of(rows)
        reachable = drawn > -np.inf
        if not in_batch and not (self.owner < 0).any():
            return np.where(reachable, drawn, presence)
        with np.errstate(divide="ignore"):
            neither = np.log(-np.expm1(np.minimum(drawn, 0)))
        either: FloatArray = np.logaddexp(drawn, neither + presence).astype(np.float32)
        return np.where(reachable, either, presence)

    def part(self, first: int, last: int) -> Drawn:
        """What concerns the queries ``first .. last - 1`` of the batch: their own rows, and those that were drawn for all."""
        kept = (self.owner < 0) | ((self.owner >= first) & (self.owner < last))
        owner = np.where(self.owner < 0, -1, self.owner - first)[kept]
        return Drawn(rows=self.rows[kept], origin=self.origin[kept], owner=owner, teacher=self.teacher[kept], chances=self.chances)


class FittedSampler(Protocol):
    """A negative sampler that knows the training part."""

    @property
    def in_batch(self) -> bool:
        """Whether other queries' positives serve as negatives."""

    @property
    def memory(self) -> int:
        """How many item vectors of earlier steps serve as further negatives; 0 for none."""

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """The drawn negatives of (a part of) a batch; ``generator`` is the only source of randomness."""

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability, up to a constant, that each catalogue row is a shared candidate of a step with ``batch`` positives.

        A candidate that can come in several ways is there if it comes in one of them; one that is drawn for a single query counts by how
        often it is a positive. A row that cannot be one has -inf.
        """


class NegativeSampler(Protocol):
    """Hyper-parameters of a negative sampler."""

    @property
    def requires_given(self) -> bool:
        """Whether it draws from negatives that the data names, so that it cannot do without them."""

    def fit(self, training: TrainingView) -> FittedSampler:
        """The sampler for a training part."""
