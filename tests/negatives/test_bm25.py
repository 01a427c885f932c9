from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter

import numpy as np
import pytest
from training_views import ragged, request_of, view_of

from tt_hydra.contracts import Origin
from tt_hydra.errors import ConfigError
from tt_hydra.negatives.bm25 import BM25, find

ITEMS = [
    "red round lamp",
    "red chair",
    "round table",
    "red round red lamp shade",
    "blue glass",
    "Red  round lamp",
    "wooden bench",
    "glass of water",
]
QUESTIONS = ["red round", "blue glass", "nothing shared", ""]
VIEW = view_of(
    [1] * 8,
    known=ragged([[0], [4], [6], [2]]),
    question_texts=lambda: QUESTIONS,
    item_texts=lambda: ITEMS,
    content=lambda: np.array([0, 1, 2, 3, 4, 0, 6, 7]),
)


def score(question: str, item: str) -> float:
    """BM25 as in Lucene, by its formula: k1 = 1.5, b = .75."""
    texts = [[word for word in text.lower().split() if len(word) > 1 and word != "of"] for text in ITEMS]
    words = Counter(word for word in item.lower().split() if word != "of")
    mean, length = sum(map(len, texts)) / len(texts), sum(words.values())
    total = 0.0
    for word in question.split():
        holding = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        total += idf * words[word] / (words[word] + 1.5 * (1 - 0.75 + 0.75 * length / mean))
    return total


def test_the_best_by_words_without_positives_and_their_equals() -> None:
    pool = find(VIEW, 100)
    for at, question in enumerate(QUESTIONS):
        ranked = sorted(range(8), key=lambda row: (-score(question, ITEMS[row]), row))
        dropped = {0: {0, 5}, 1: {4}, 2: {6}, 3: {2}}[at]
        expected = [row for row in ranked if row not in dropped and score(question, ITEMS[row]) > 0]
        assert pool.candidates.row(at).tolist() == expected
        scores = pool.scores[pool.candidates.offsets[at] : pool.candidates.offsets[at + 1]]
        assert scores == pytest.approx([score(question, ITEMS[row]) for row in expected], rel=1e-5)


def test_it_does_not_matter_how_many_questions_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find(VIEW, 100)
    monkeypatch.setattr("tt_hydra.negatives.bm25.BLOCK", 3)
    parts = find(VIEW, 100)
    for name in ("scores", "positive_keys", "positive_scores", "num_items"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.candidates.values.tolist() == whole.candidates.values.tolist()
    assert parts.candidates.offsets.tolist() == whole.candidates.offsets.tolist()


def test_what_was_found_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        find(VIEW, 100)
    assert "for each of 4 questions; left out: 2 (known positive), 1 (equal to a positive), 0" in caplog.text


@pytest.mark.parametrize(
    ("questions", "known", "first", "expected"),
    [
        (["rouge", "bleu", "glass"], [[0], [1], [4]], 1, "2 of 3 questions have no BM25 negative; 2 of them share no word with any item"),
        (["bench", "table", "glass"], [[6], [2], [4]], 1, "2 of 3 questions .* 2 of them share words only with their answers"),
        (["glass", "glass", "red"], [[4], [7], [1]], 2, r"2 of 3 questions .* for negatives\.first=2\. Lower it"),
        (["rouge", "red"], [[0], [1]], 1, None),
        (["glass", "glass", "red"], [[4], [7], [1]], 1, None),
    ],
)
def test_most_questions_without_a_negative_are_a_warning_with_its_reason(
    questions: list[str], known: list[list[int]], first: int, expected: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """``bench`` and ``table`` are words of one item each, ``glass`` of two."""
    size = len(questions)
    view = dataclasses.replace(VIEW, questions=np.arange(size), known=ragged(known), question_texts=lambda: questions)
    with caplog.at_level("WARNING"):
        BM25(first=first).fit(view)
    assert bool(caplog.text) == (expected is not None)
    assert re.search(expected or "", caplog.text)


def test_the_positives_keep_their_scores() -> None:
    told = find(VIEW, 100).positives_of(np.array([0, 1, 2]), np.array([0, 4, 1]))
    assert told[:2] == pytest.approx([score(QUESTIONS[0], ITEMS[0]), score(QUESTIONS[1], ITEMS[4])], rel=1e-5)
    assert np.isnan(told[2])


def test_positives_do_not_use_up_ranks() -> None:
    """Two of the three best are the positive and its twin; the window of two is still full."""
    assert len(find(VIEW, 2).candidates.row(0)) == 2


def test_draws_are_owned_and_within_the_window() -> None:
    fitted = BM25(per_query=5, first=2, last=3).fit(VIEW)
    drawn = fitted.draw(request_of([0, 4, 6, 2]), np.random.default_rng(0))
    pool = find(VIEW, 3)
    assert sorted(drawn.rows.tolist()) == sorted(pool.candidates.row(0).tolist()[1:3])
    assert set(drawn.owner.tolist()) == {0}
    assert set(drawn.origin.tolist()) == {Origin.BM25}
    assert fitted.in_batch


@pytest.mark.parametrize(("missing", "words"), [("question_texts", "queries have no text"), ("item_texts", "items have no text")])
def test_sides_without_text_are_refused_with_a_way_out(missing: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        BM25().fit(dataclasses.replace(VIEW, **{missing: None}))


def test_a_catalogue_without_a_word() -> None:
    fitted = BM25().fit(dataclasses.replace(VIEW, item_texts=lambda: [""] * 8))
    assert fitted.draw(request_of([0, 4]), np.random.default_rng(0)).rows.shape == (0,)


def test_ties_are_broken_by_row_also_at_the_last_rank() -> None:
    view = view_of([1] * 6, known=ragged([[5]]), question_texts=lambda: ["word"], item_texts=lambda: ["word"] * 6, questions=np.array([0]))
    assert find(view, 2).candidates.row(0).tolist() == [0, 1]


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.last"):
        BM25(first=9, last=3)
