"""From search results to a pool, with every filter counted by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from training_views import ragged, view_of

from tt_hydra.contracts import SearchResult
from tt_hydra.negatives.mining import Facts, mine, similarities
from tt_hydra.negatives.pool import PoolRule

ITEMS = np.float32([[1, 0], [1, 0.01], [0.9, 0.1], [0.5, 0.5], [0.1, 0.9], [0, 1], [1, 0.02]])
QUERIES = np.float32([[1, 0], [0, 2], [1, 1]])
CONTENT = np.array([0, 1, 2, 3, 4, 5, 1])
"""Items 1 and 6 are equal."""
VIEW = view_of(
    [1] * 7,
    questions=np.array([0, 0, 1, 2]),
    known=ragged([[0, 1], [5], [3]]),
    content=lambda: CONTENT,
    question_texts=None,
    item_texts=None,
)
FACTS = Facts(VIEW, np.array([0, 0, 5, 3]))


def exact(queries: np.ndarray, k: int) -> SearchResult:
    scores = queries @ ITEMS.T
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return SearchResult(np.take_along_axis(scores, rows, axis=1), rows.astype(np.int64))


def test_positives_their_twins_and_repeats_are_removed_and_counted() -> None:
    pool, report = mine(QUERIES, ITEMS, exact, FACTS, PoolRule(), top=3, metric="dot")
    assert [pool.candidates.row(question).tolist() for question in range(3)] == [[2, 3, 4], [4, 3, 2], [6, 0, 2]]
    assert report.questions == 3
    assert report.found == 18
    assert report.removed == {"known positive": 4, "equal to a positive": 1, "equal to another candidate": 2, "beyond the best 3": 2}
    assert report.kept == 9


def test_a_search_that_finds_too_little_leaves_less() -> None:
    def poor(queries: np.ndarray, k: int) -> SearchResult:
        result = exact(queries, k)
        return SearchResult(np.where(np.arange(k) < 2, result.scores, -np.inf), np.where(np.arange(k) < 2, result.rows, -1))

    pool, report = mine(QUERIES, ITEMS, poor, FACTS, PoolRule(), top=3, metric="dot")
    assert [pool.candidates.row(question).tolist() for question in range(3)] == [[], [4], [6]]
    assert (pool.candidates.values >= 0).all()
    assert report.found == 6


@pytest.mark.parametrize(
    ("rule", "beyond", "without"),
    [
        (PoolRule(last=3), (0, 9), 0),
        (PoolRule(last=3, ratio=0.85), (1 + 1 + 3, 9), 1),
        (PoolRule(last=3, gap=0.5), (1 + 1 + 3, 9), 1),
        (PoolRule(first=2, last=2, ratio=0.85), (0 + 0 + 1, 3), 1),
    ],
)
def test_the_margin_is_counted_for_each_pair(rule: PoolRule, beyond: tuple[int, int], without: int) -> None:
    """Positives score 1, 2 and 1; candidates .9 .5 .1, 1.8 1 .2 and 1.02 1 1."""
    pool, report = mine(QUERIES, ITEMS, exact, FACTS, rule, top=3, metric="dot")
    assert pool.scores == pytest.approx([0.9, 0.5, 0.1, 1.8, 1.0, 0.2, 1.02, 1.0, 1.0])
    assert report.beyond_margin == beyond
    assert report.without == without
    assert report.pairs == 3
    assert report.positive == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (PoolRule(last=3, ratio=0.5), None),
        (PoolRule(last=3, ratio=0.05), r"^3 of 3 training pairs have no mined negative: .* above what negatives\.margin=0\.05 lets pass"),
        (PoolRule(last=3, gap=0.95), r"^2 of 3 .* negatives\.margin=0\.95 lets pass"),
        (PoolRule(first=4, last=4), r"^3 of 3 training pairs .* no candidate of rank negatives\.first=4\. Lower it"),
    ],
)
def test_most_pairs_without_a_negative_are_told_with_the_reason(rule: PoolRule, expected: str | None) -> None:
    """Positives score 1, 2 and 1; the least candidates .1, .2 and 1: half of the positive leaves two pairs one."""
    _, report = mine(QUERIES, ITEMS, exact, FACTS, rule, top=3, metric="dot")
    told = report.warning(rule)
    assert (told is None) == (expected is None)
    assert re.search(expected or "", told or "")


def test_a_search_that_finds_positives_alone_is_told() -> None:
    facts = Facts(view_of([1] * 7, questions=np.array([0]), known=ragged([list(range(7))]), question_texts=None), np.array([2]))
    _, report = mine(QUERIES[:1], ITEMS, exact, facts, PoolRule(ratio=0.95), top=3, metric="dot")
    assert (report.without, report.outside) == (1, 1)
    assert "finds nothing but their positives" in str(report.warning(PoolRule(ratio=0.95)))


def test_below_zero_a_margin_never_lets_harder_items_in() -> None:
    queries = np.float32([[-1, 0]])
    facts = Facts(view_of([1] * 7, questions=np.array([0]), known=ragged([[2]]), content=None, question_texts=None), np.array([2]))

    def search(asked: np.ndarray, k: int) -> SearchResult:
        return exact(asked, k)

    _, report = mine(queries, ITEMS, search, facts, PoolRule(last=6, ratio=0.9), top=6, metric="dot")
    harder = sum(score > -0.9 - 0.1 * 0.9 for score in (-1, -1, -0.5, -0.1, 0, -1))
    assert report.beyond_margin == (harder, 6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mine(QUERIES, ITEMS, exact, FACTS, PoolRule(last=3, ratio=0.85), top=3, metric="dot")
    monkeypatch.setattr("tt_hydra.negatives.mining.QUESTION_CHUNK", 1)
    parts = mine(QUERIES, ITEMS, exact, FACTS, PoolRule(last=3, ratio=0.85), top=3, metric="dot")
    assert parts[1] == whole[1]
    assert np.array_equal(parts[0].candidates.values, whole[0].candidates.values)


def test_cosine_is_blind_to_length() -> None:
    pairs = ragged([[0], [3, 5], []])
    assert similarities(QUERIES, ITEMS, pairs, "cosine") == pytest.approx([1, np.sqrt(0.5), 1])
    assert similarities(QUERIES, ITEMS, pairs, "dot") == pytest.approx([1, 1, 2])
    assert similarities(np.zeros((3, 2), np.float32), ITEMS, pairs, "cosine").tolist() == [0, 0, 0]


def test_facts_are_those_of_the_training_examples() -> None:
    assert FACTS.pairs.values.tolist() == [0, 5, 3]
    assert FACTS.last_examples.tolist() == [1, 2, 3]
