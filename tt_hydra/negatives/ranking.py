"""From search results to a pool: the positives of a question and items that equal them are no negatives of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tt_hydra.contracts import BoolArray, FloatArray, IntArray, Ragged, TrainingView
from tt_hydra.negatives.pool import pair_keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """Candidates of some questions after filtering.

    Attributes:
        candidates: by question, catalogue rows, best first.
        scores: of these.
        removed: how many candidates each filter took away.
    """

    candidates: Ragged
    scores: FloatArray
    removed: dict[str, int]


def all_positives(training: TrainingView) -> Ragged:
    """By question, its positives: ascending, distinct.

    Where queries are nothing but texts, they are those of every query that asks the same, without regard to case and spaces. A text
    beside other features (an occupation beside an id and a history) makes no two queries one.
    """
    known, size = training.known, training.num_items
    if training.question_texts is None or not training.only_text:
        return known
    group = _numbers([" ".join(text.casefold().split()) for text in training.question_texts()])
    question, row = np.divmod(pair_keys(known, size), size)
    group_of_pair, rows = np.divmod(np.unique(group[question] * size + row), size)
    lengths = np.bincount(group_of_pair, minlength=group.max(initial=-1) + 1)
    return Ragged(rows, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)).take(group)


def to_ask_for(last: int, known: Ragged, content: IntArray) -> int:
    """How many results a search must give so that ``last`` candidates are left when the positives and their equals are gone."""
    equals = np.bincount(content)[content] if len(content) else content
    removed = np.concatenate([[0], np.cumsum(equals[known.values])])
    most = int((removed[known.offsets[1:]] - removed[known.offsets[:-1]]).max(initial=0))
    return min(len(content), last + most)


def filtered(rows: IntArray, scores: FloatArray, known: Ragged, content: IntArray, last: int) -> Ranking:
    """The best ``last`` results of each question that are no known positive, equal none, and equal no better result.

    Args:
        rows: ``(questions, k)`` catalogue rows, best first; below 0 where there is none.
        scores: ``(questions, k)`` their similarities.
        known: by question, its positives.
        content: ``(num_items,)`` equal numbers for items whose features are equal.
        last: how many are kept at most.
    """
    size, (questions, width) = len(content), rows.shape
    found = rows >= 0
    place = np.where(found, rows, 0)
    number = np.repeat(np.arange(questions)[:, None], width, axis=1)
    positive = np.isin(number * size + place, pair_keys(known, size)) & found
    equals = Ragged(content[known.values], known.offsets)
    twin = np.isin(number * size + content[place], pair_keys(equals, size)) & found & ~positive
    left = found & ~positive & ~twin
    kept = left & _first_of_its_kind(number * size + content[place], left)
    within = kept & (np.cumsum(kept, axis=1) <= last)
    return Ranking(
        candidates=Ragged(rows[within], np.concatenate([[0], np.cumsum(within.sum(axis=1))]).astype(np.int64)),
        scores=scores[within].astype(np.float32),
        removed={
            "known positive": int(positive.sum()),
            "equal to a positive": int(twin.sum()),
            "equal to another candidate": int((left & ~kept).sum()),
        },
    )


def _first_of_its_kind(keys: IntArray, among: BoolArray) -> BoolArray:
    """Where a key stands for the first time, row by row, among some places."""
    places = np.flatnonzero(among)
    _, first = np.unique(keys.ravel()[places], return_index=True)
    result = np.zeros(keys.size, np.bool_)
    result[places[first]] = True
    return result.reshape(keys.shape)


def _numbers(texts: Sequence[str]) -> IntArray:
    """A number for each distinct text; an empty one equals no other."""
    known: dict[str | int, int] = {}
    return np.array([known.setdefault(text or at, len(known)) for at, text in enumerate(texts)], np.int64)
