"""A pool of ranked candidates for each question, from which a step draws within a rank window and under a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import BoolArray, Chances, Drawn, DrawRequest, FloatArray, Hardness, IntArray, Origin, Ragged
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.check import check_at_least_one
from tt_hydra.negatives.choice import without_replacement
from tt_hydra.negatives.frequency import log_presence

NO_CHANGE = Hardness()


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolRule:
    """Which candidates of a question may be drawn, and how many.

    Attributes:
        per_query: negatives drawn for each query of a batch.
        first: best rank that is drawn, counted from 1 over what is left of the ranking without positives.
        last: worst rank that is drawn.
        ratio: a candidate is left out if its score exceeds this part of the positive's; None for no such limit. Where the positive's
            score is below 0 the limit lies as far below it (``positive - (1 - ratio) * |positive|``), never above.
        gap: a candidate is left out if its score exceeds the positive's less this; None for no such limit.
    """

    per_query: int = 1
    first: int = 1
    last: int = 100
    ratio: float | None = None
    gap: float | None = None

    def __post_init__(self) -> None:
        check_at_least_one(per_query=self.per_query, first=self.first)
        if self.last < self.first:
            raise ConfigError(
                f"negatives.last={self.last} is the worst rank that is drawn, so at least negatives.first={self.first}. Raise last."
            )


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates of every question, best first, without its positives.

    Attributes:
        candidates: by question, catalogue rows in ascending rank.
        scores: ``(len(candidates.values),)`` float32, similarity of each to its question.
        positive_keys: ``(pairs,)`` ascending ``question * num_items + row`` of the known positives.
        positive_scores: ``(pairs,)`` float32, similarity of each of these, NaN where it is not known.
        num_items: size of the catalogue.
    """

    candidates: Ragged
    scores: FloatArray
    positive_keys: IntArray
    positive_scores: FloatArray
    num_items: int

    @classmethod
    def of(cls, candidates: Ragged, scores: FloatArray, known: Ragged, known_scores: FloatArray, num_items: int) -> Pool:
        """A pool of candidates and positives by question, the scores in the order of the values."""
        keys = pair_keys(known, num_items)
        order = np.argsort(keys, kind="stable")
        return cls(candidates, scores, keys[order], known_scores[order], num_items)

    def positives_of(self, questions: IntArray, rows: IntArray) -> FloatArray:
        """Similarity of each question to the positive at its side, NaN where it is not known."""
        keys = questions * self.num_items + rows
        if len(self.positive_keys) == 0:
            return np.full(len(keys), np.nan, np.float32)
        place = np.minimum(np.searchsorted(self.positive_keys, keys), len(self.positive_keys) - 1)
        return np.where(self.positive_keys[place] == keys, self.positive_scores[place], np.float32(np.nan))

    def between(self, questions: IntArray, first: int, last: int) -> tuple[IntArray, IntArray]:
        """The candidates at ranks ``first .. last`` of some questions.

        Returns:
            Number of the question in ``questions``, ascending, and place in ``candidates.values`` of each.
        """
        start = self.candidates.offsets[questions] + first - 1
        stop = np.minimum(self.candidates.offsets[questions] + last, self.candidates.offsets[questions + 1])
        width = np.maximum(stop - start, 0)
        owner = np.repeat(np.arange(len(questions)), width)
        return owner, start[owner] + _within(width)


@dataclass(slots=True)
class FittedPool:
    """Draws each query's own negatives from its question's part of a pool, besides the positives of the other queries.

    Attributes:
        rule: which candidates, how many.
        origin: how the pool was made.
        questions: ``(examples,)`` question of each training example.
        log_probability: ``(num_items,)`` log share of each item among the training positives.
        pool: the candidates; None before there are any, and then nothing is drawn. May be replaced between two draws.
    """

    rule: PoolRule
    origin: Origin
    questions: IntArray
    log_probability: FloatArray
    pool: Pool | None = None
    in_batch: ClassVar[bool] = True
    memory: ClassVar[int] = 0

    def draw(self, request: DrawRequest, generator: np.random.Generator) -> Drawn:
        """Up to ``per_query`` negatives for each query; window, margin and share of the request's hardness go before the rule's."""
        if self.pool is None:
            return Drawn.shared(np.empty(0, np.int64), self.origin)
        return draw_own(self.pool, self.rule, self.origin, self.questions[request.examples], request, generator)

    def log_presence(self, rows: IntArray, batch: int) -> FloatArray:
        """Log probability that a row is one of the batch's positives."""
        return log_presence(self.log_probability[rows], batch)


def draw_own(
    pool: Pool, rule: PoolRule, origin: Origin, questions: IntArray, request: DrawRequest, generator: np.random.Generator
) -> Drawn:
    """Negatives drawn without replacement, with equal chances, among each query's allowed candidates.

    Args:
        pool: the candidates.
        rule: which of them, how many.
        origin: flag of the drawn rows.
        questions: ``(batch,)`` question of each query.
        request: positives and hardness.
        generator: the only source of randomness.
    """
    hardness = request.hardness
    first, last = hardness.window or (rule.first, rule.last)
    owner, place = pool.between(questions, first, last)
    free = allowed(pool.scores[place], pool.positives_of(questions, request.positives)[owner], rule, hardness)
    owner, place = owner[free], place[free]
    width = np.bincount(owner, minlength=len(questions))
    wanted = min(max(hardness.share, 0.0), 1.0) * rule.per_query
    chances = Chances.of(pool.candidates.values[place].astype(np.int64), _chance(wanted, width)[owner])
    count = int(wanted) + (generator.random(len(questions)) < wanted % 1)
    owner, number = without_replacement(width, count, generator)
    place = place[(np.cumsum(width) - width)[owner] + number]
    return Drawn(
        rows=pool.candidates.values[place].astype(np.int64),
        origin=np.full(len(place), int(origin)),
        owner=owner,
        teacher=np.full(len(place), np.nan, np.float32),
        chances=chances,
    )


def pair_keys(rows: Ragged, num_items: int) -> IntArray:
    """``question * num_items + row`` of every value."""
    question = rows.owners()
    return question * num_items + rows.values.astype(np.int64)


def allowed(scores: FloatArray, positive: FloatArray, rule: PoolRule, hardness: Hardness = NO_CHANGE) -> BoolArray:
    """Which candidates keep their distance from the positive; where its score is not known, all."""
    ratio, gap = (rule.ratio, rule.gap) if hardness.margin is None else (hardness.margin, None)
    limit = np.full(len(scores), np.inf, np.float32)
    if ratio is not None:
        limit = np.minimum(limit, positive - (1 - ratio) * np.abs(positive))
    if gap is not None:
        limit = np.minimum(limit, positive - gap)
    return (scores <= limit) | np.isnan(limit)


def _chance(wanted: float, width: IntArray) -> FloatArray:
    """Probability that one of ``width`` candidates is drawn, where ``wanted`` is rounded up or down so that its mean is kept."""
    low, part = int(wanted), wanted % 1
    mean = (1 - part) * np.minimum(low, width) + part * np.minimum(low + 1, width)
    chance: FloatArray = (mean / np.maximum(width, 1)).astype(np.float32)
    return chance


def _within(widths: IntArray) -> IntArray:
    """0, 1, 2 ... anew for each width."""
    return np.arange(widths.sum()) - np.repeat(np.cumsum(widths) - widths, widths)
