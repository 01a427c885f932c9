"""BM25 negatives: items that share words with the question but are no answer to it, besides the positives of the other queries."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray, Origin, Ragged, TrainingView
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.frequency import log_share
from tt_hydra.negatives.pool import FittedPool, Pool, PoolRule
from tt_hydra.negatives.ranking import all_positives, filtered, to_ask_for

logger = logging.getLogger(__name__)

BLOCK = 4096
"""Questions whose results are held at once, before they are filtered."""
BM25Scorer = Callable[[Sequence[str]], FloatArray | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class BM25:
    """Hard negatives by words (Karpukhin et al. 2020), found once before training for every question that is asked there.

    The positives of a question, and items that equal one of them, are none of its negatives. Items without a training event can be.

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
        return FittedPool(self._rule(), Origin.BM25, training.questions, log_share(training.counts), find(training, self.last, self.first))


def find(training: TrainingView, last: int, first: int = 1) -> Pool:
    """The pool of every question's ``last`` best items by BM25; where most have no item of rank ``first``, a warning says why.

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
    questions, engine = _words(training.question_texts()), _engine(training.item_texts())
    rankings, known_scores, found = [], [np.empty(0, np.float32)], [np.empty(0, np.int64)]
    for start in range(0, len(questions), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(questions)))
        positives = known.take(block)
        rows, scores, of_positives = _search(engine, questions[start : start + BLOCK], positives, width)
        rankings.append(filtered(rows, scores, positives, content, last))
        known_scores.append(of_positives)
        found.append((rows >= 0).sum(axis=1))
    candidates = _joined([ranking.candidates for ranking in rankings])
    _tell(candidates, [ranking.removed for ranking in rankings])
    _warn_of_few(np.diff(candidates.offsets), np.concatenate(found), first)
    scores = np.concatenate([np.empty(0, np.float32), *(ranking.scores for ranking in rankings)])
    return Pool.of(candidates, scores, known, np.concatenate(known_scores), training.num_items)


def _words(texts: Sequence[str]) -> list[list[str]]:
    import bm25s  # noqa: PLC0415

    words: list[list[str]] = bm25s.tokenize(list(texts), return_ids=False, show_progress=False)
    return words


def _engine(items: Sequence[str]) -> BM25Scorer | None:
    """Scores of all items for a question's words; None for a catalogue without a word."""
    import bm25s  # noqa: PLC0415

    words = _words(items)
    if not any(words):
        return None
    engine = bm25s.BM25()
    engine.index(words, show_progress=False)

    def score(question: Sequence[str]) -> FloatArray | None:
        codes = engine.get_tokens_ids(question)
        return engine.get_scores_from_ids(codes) if codes else None

    return score


def _search(
    engine: BM25Scorer | None, questions: Sequence[Sequence[str]], known: Ragged, width: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Rows (-1: none) and scores of each question's best items that share a word with it, and the scores of its positives."""
    rows, scores = np.full((len(questions), width), -1, np.int64), np.zeros((len(questions), width), np.float32)
    known_scores = np.full(len(known.values), np.nan, np.float32)
    for at, words in enumerate(questions):
        found = None if engine is None else engine(words)
        if found is not None:
            best = _best(found, width)
            rows[at, : len(best)], scores[at, : len(best)] = best, found[best]
            known_scores[known.offsets[at] : known.offsets[at + 1]] = found[known.row(at)]
    return rows, scores, known_scores


def _joined(parts: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([[0], *(np.diff(part.offsets) for part in parts)])
    return Ragged(np.concatenate([np.empty(0, np.int64), *(part.values for part in parts)]), np.cumsum(lengths).astype(np.int64))


def _tell(candidates: Ragged, removed: Sequence[Mapping[str, int]]) -> None:
    counts = Counter[str]()
    for each in removed:
        counts.update(each)
    left_out = ", ".join(f"{count} ({name})" for name, count in counts.items())
    mean = len(candidates.values) / max(1, len(candidates))
    logger.info("BM25 negatives: %.1f for each of %d questions; left out: %s", mean, len(candidates), left_out or "none")


def _warn_of_few(candidates: IntArray, found: IntArray, first: int) -> None:
    """Says why most questions have no negative, and what to change.

    Args:
        candidates: ``(questions,)`` how many each has.
        found: ``(questions,)`` how many items share a word with each, its answers among them.
        first: best rank that is drawn.
    """
    without = candidates < first
    if 2 * without.sum() <= len(without):
        return
    reasons = {
        "share no word with any item: are both sides in one language, and words rather than codes? Choose negatives=mined or in_batch": (
            found == 0
        ),
        "share words only with their answers, or with items equal to these. Choose negatives=mined or uniform": (
            (found > 0) & (candidates == 0)
        ),
        f"share words with too few items for negatives.first={first}. Lower it": (candidates > 0),
    }
    counts = {reason: int((without & which).sum()) for reason, which in reasons.items()}
    reason = max(counts, key=counts.__getitem__)
    told = (int(without.sum()), len(without), counts[reason], reason)
    logger.warning("%d of %d questions have no BM25 negative; %d of them %s.", *told)


def _best(scores: FloatArray, width: int) -> IntArray:
    """The rows of the ``width`` largest scores above 0, in descending order, equal ones by row."""
    rows = np.flatnonzero(scores > 0)
    if len(rows) > width:
        limit = np.partition(scores[rows], len(rows) - width)[len(rows) - width]
        rows = rows[scores[rows] >= limit]
    return rows[np.lexsort((rows, -scores[rows]))][:width]
