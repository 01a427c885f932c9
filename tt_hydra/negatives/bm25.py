"""BM25 negatives: items that share words with the question but are no answer to it, besides the positives of the other queries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Origin, Ragged, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.frequency import log_share
from tt_hydra.negatives.pool import FittedPool, Pool, PoolRule
from tt_hydra.negatives.ranking import all_positives, filtered, to_ask_for

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class BM25:
    """Hard negatives by words (Karpukhin et al. 2020), found once before training for every question that is asked there.

    The positives of a question, and items that equal one of them, are none of its negatives.

    Attributes:
        per_query: negatives drawn for each query of a batch, anew each time.
        first: best rank that is drawn, counted from 1 without the positives.
        last: worst rank that is drawn; items that share no word with the question have no rank.
    """

    per_query: int = 1
    first: int = 1
    last: int = 100
    requires_given: ClassVar[bool] = False
    has_pool: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._rule()

    def _rule(self) -> PoolRule:
        return PoolRule(per_query=self.per_query, first=self.first, last=self.last)

    def fit(self, training: TrainingView) -> FittedPool:
        """The sampler for a training part.

        Raises:
            ConfigError: a side has no text.
        """
        return FittedPool(self._rule(), Origin.BM25, training.questions, log_share(training.counts), find(training, self.last))


def find(training: TrainingView, last: int) -> Pool:
    """The pool of every question's ``last`` best items by BM25.

    Raises:
        ConfigError: a side has no text.
    """
    if training.question_texts is None or training.item_texts is None:
        side = "queries have" if training.question_texts is None else "items have"
        raise ConfigError(
            f"negatives=bm25 compares the words of queries and items, and the {side} no text feature. Declare one, or choose "
            "negatives=mined, in_batch or uniform."
        )
    content = np.arange(training.num_items) if training.content is None else training.content()
    known = all_positives(training)
    width = to_ask_for(last, known, content)
    rows, scores, known_scores = _search(training.question_texts(), training.item_texts(), known, width)
    ranking = filtered(rows, scores, known, content, last)
    found = np.diff(ranking.candidates.offsets)
    removed = ", ".join(f"{name}: {count}" for name, count in ranking.removed.items())
    logger.info("BM25 negatives: %.1f for each of %d questions; left out: %s", found.mean() if len(found) else 0, len(found), removed)
    return Pool.of(ranking.candidates, ranking.scores, known, known_scores, training.num_items)


def _search(questions: Sequence[str], items: Sequence[str], known: Ragged, width: int) -> tuple[IntArray, FloatArray, FloatArray]:
    """Rows (-1: none) and scores of each question's best items that share a word with it, and the scores of its positives."""
    import bm25s  # noqa: PLC0415

    rows, scores = np.full((len(questions), width), -1, np.int64), np.zeros((len(questions), width), np.float32)
    known_scores = np.full(len(known.values), np.nan, np.float32)
    tokens = bm25s.tokenize(list(items), show_progress=False)
    if not any(tokens.ids):
        return rows, scores, known_scores
    engine = bm25s.BM25()
    engine.index(tokens, show_progress=False)
    for at, words in enumerate(bm25s.tokenize(list(questions), return_ids=False, show_progress=False)):
        codes = engine.get_tokens_ids(words)
        if not codes:
            continue
        all_scores = engine.get_scores_from_ids(codes)
        best = _best(all_scores, width)
        rows[at, : len(best)], scores[at, : len(best)] = best, all_scores[best]
        known_scores[known.offsets[at] : known.offsets[at + 1]] = all_scores[known.row(at)]
    return rows, scores, known_scores


def _best(scores: FloatArray, width: int) -> IntArray:
    """The rows of the ``width`` largest scores above 0, in descending order, equal ones by row."""
    rows = np.flatnonzero(scores > 0)
    if len(rows) > width:
        limit = np.partition(scores[rows], len(rows) - width)[len(rows) - width]
        rows = rows[scores[rows] >= limit]
    return rows[np.lexsort((rows, -scores[rows]))][:width]
