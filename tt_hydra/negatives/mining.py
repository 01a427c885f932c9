"""Mining: from a search among the items to a pool of hard negatives, and to the table that says what became of the candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Metric, Ragged, SearchResult, TrainingView
from tt_hydra.negatives.pool import Pool, PoolRule, allowed
from tt_hydra.negatives.ranking import all_positives, filtered, to_ask_for

QUESTION_CHUNK = 4096
"""Questions searched at a time; bounds memory, never the result."""

Search = Callable[[FloatArray, int], SearchResult]
"""The k best catalogue rows of some question vectors."""


@dataclass(frozen=True)
class Facts:
    """What mining must know of a training part; worked out when it is first needed."""

    training: TrainingView
    positives: IntArray
    """``(examples,)`` positive of each training example."""

    @cached_property
    def known(self) -> Ragged:
        """By question, its positives in the training part."""
        return all_positives(self.training)

    @cached_property
    def content(self) -> IntArray:
        """``(num_items,)`` equal numbers for equal items."""
        every = np.arange(self.training.num_items)
        return every if self.training.content is None else self.training.content()

    @cached_property
    def pairs(self) -> Ragged:
        """By question, the distinct positives that its examples are trained on."""
        size = self.training.num_items
        keys = np.unique(self.training.questions * size + self.positives)
        offsets = np.searchsorted(keys, np.arange(len(self.training.known) + 1) * size)
        return Ragged(keys % size, offsets)

    @cached_property
    def last_examples(self) -> IntArray:
        """``(questions,)`` the last training example that asks each question."""
        last = np.zeros(len(self.training.known), np.int64)
        np.maximum.at(last, self.training.questions, np.arange(len(self.training.questions)))
        return last


@dataclass(frozen=True, kw_only=True, slots=True)
class MiningReport:
    """What became of the candidates of a mining.

    Attributes:
        questions: how many were asked.
        found: search results, all questions together.
        removed: how many of them each filter took away, the filters in order.
        kept: how many candidates are left, before the margin.
        pairs: pairs of a question and a positive.
        beyond_margin: candidates in the rank window that are too close to the positive, summed over the pairs, and of how many.
        without: pairs for which no negative is left.
        outside: pairs without a candidate in the rank window, whatever the margin.
        positive: mean similarity of the pairs.
        negative: mean similarity of the negatives that may be drawn.
    """

    questions: int
    found: int
    removed: dict[str, int] = field(default_factory=dict)
    kept: int
    pairs: int
    beyond_margin: tuple[int, int]
    without: int
    outside: int
    positive: float
    negative: float

    def lines(self) -> Iterator[str]:
        """The table for people."""
        yield f"{self.questions:,} questions, {self.found:,} candidates"
        for reason, number in self.removed.items():
            yield f"  {number:>12,}  {number / max(self.found, 1):6.1%}  removed: {reason}"
        yield f"  {self.kept:>12,}  {self.kept / max(self.found, 1):6.1%}  kept"
        number, among = self.beyond_margin
        share = number / max(among, 1)
        yield f"{self.pairs:,} pairs: {number:,} of {among:,} ({share:.1%}) in the rank window are too close to the positive"
        yield f"{self.without:,} pairs ({self.without / max(self.pairs, 1):.1%}) have no mined negative"
        yield f"mean similarity: positives {self.positive:.3f}, mined negatives {self.negative:.3f}"

    def warning(self, rule: PoolRule) -> str | None:
        """Why most pairs have no negative under a rule, and what to change; None where most have one."""
        if 2 * self.without <= self.pairs:
            return None
        what = f"{self.without:,} of {self.pairs:,} training pairs have no mined negative: "
        if 2 * self.outside < self.without:
            margin = rule.gap if rule.ratio is None else rule.ratio
            return (
                f"{what}the model ranks their candidates above what negatives.margin={margin} lets pass. Set it to null, draw farther "
                "ranks (negatives.first, negatives.last, negatives.top), or mine later (negatives.start)."
            )
        if rule.first > 1:
            return f"{what}the search leaves them no candidate of rank negatives.first={rule.first}. Lower it."
        return f"{what}the search finds nothing but their positives and items equal to these. Choose negatives=in_batch or uniform."


def mine(
    queries: FloatArray, items: FloatArray, search: Search, facts: Facts, rule: PoolRule, *, top: int, metric: Metric
) -> tuple[Pool, MiningReport]:
    """The ``top`` best items of every question that are no positive of it, equal none and are told apart.

    A test positive is not spared: training must not know it.

    Args:
        queries: ``(questions, dim)`` vectors of the questions.
        items: ``(num_items, dim)``.
        search: finds the best items; a result below 0 is none.
        facts: of the training part.
        rule: what will be drawn, for the report.
        top: candidates that are kept of each question.
        metric: similarity that the search's scores are.
    """
    asked = to_ask_for(top, facts.known, facts.content)
    parts, removed, found = [], dict[str, int](), 0
    for start in range(0, len(queries), QUESTION_CHUNK):
        chunk = np.arange(start, min(start + QUESTION_CHUNK, len(queries)))
        result = search(queries[chunk], asked)
        ranking = filtered(result.rows, result.scores, facts.known.take(chunk), facts.content, top)
        parts.append(ranking)
        found += int((result.rows >= 0).sum())
        removed = {reason: removed.get(reason, 0) + number for reason, number in ranking.removed.items()}
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.candidates.offsets) for part in parts)])
    candidates = Ragged(np.concatenate([part.candidates.values for part in parts]), np.cumsum(lengths))
    removed["beyond the best " + str(top)] = found - sum(removed.values()) - len(candidates.values)
    scores = np.concatenate([part.scores for part in parts])
    pool = Pool.of(candidates, scores, facts.pairs, similarities(queries, items, facts.pairs, metric), facts.training.num_items)
    return pool, _report(pool, facts.pairs, rule, found, removed)


def similarities(queries: FloatArray, items: FloatArray, pairs: Ragged, metric: Metric) -> FloatArray:
    """Similarity of each question to each of its rows, ``(len(pairs.values),)``."""
    result = np.empty(len(pairs.values), np.float32)
    question = pairs.owners()
    for start in range(0, len(result), QUESTION_CHUNK):
        part = slice(start, start + QUESTION_CHUNK)
        left, right = queries[question[part]].astype(np.float64), items[pairs.values[part]].astype(np.float64)
        norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1) if metric == "cosine" else np.ones(len(left))
        result[part] = (left * right).sum(axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return result


def _report(pool: Pool, pairs: Ragged, rule: PoolRule, found: int, removed: dict[str, int]) -> MiningReport:
    question = pairs.owners()
    among, close, without, outside, total = 0, 0, 0, 0, 0.0
    for start in range(0, len(question), QUESTION_CHUNK):
        asked, rows = question[start : start + QUESTION_CHUNK], pairs.values[start : start + QUESTION_CHUNK].astype(np.int64)
        owner, place = pool.between(asked, rule.first, rule.last)
        free: BoolArray = allowed(pool.scores[place], pool.positives_of(asked, rows)[owner], rule)
        among, close = among + len(free), close + int((~free).sum())
        without += int((np.bincount(owner[free], minlength=len(asked)) == 0).sum())
        outside += int((np.bincount(owner, minlength=len(asked)) == 0).sum())
        total += float(pool.scores[place[free]].sum(dtype=np.float64))
    return MiningReport(
        questions=len(pairs),
        found=found,
        removed=removed,
        kept=len(pool.scores),
        pairs=len(question),
        beyond_margin=(close, among),
        without=without,
        outside=outside,
        positive=float(pool.positive_scores.mean()) if len(question) else float("nan"),
        negative=total / (among - close) if among > close else float("nan"),
    )
