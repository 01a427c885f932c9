from __future__ import annotations

import dataclasses

import numpy as np
from training_views import ragged, view_of

from tt_hydra.contracts import Ragged
from tt_hydra.negatives.ranking import all_positives, filtered, to_ask_for


def rows_of(rows: Ragged) -> list[list[int]]:
    return [rows.row(at).tolist() for at in range(len(rows))]


def test_questions_of_equal_text_share_their_positives() -> None:
    texts = ["Red  shoe", "blue", "red shoe ", "", ""]
    view = view_of([1] * 9, known=ragged([[4, 1], [2], [1, 7], [5], [6]]), question_texts=lambda: texts, only_text=True)
    assert rows_of(all_positives(view)) == [[1, 4, 7], [2], [1, 4, 7], [5], [6]]


def test_queries_that_have_more_than_a_text_stand_alone() -> None:
    """Three people of two occupations: the text is one feature of theirs."""
    view = view_of([1] * 9, known=ragged([[1, 4], [2], [7]]), question_texts=lambda: ["nurse", "cook", "nurse"])
    assert rows_of(all_positives(view)) == [[1, 4], [2], [7]]


def test_without_texts_each_question_stands_alone() -> None:
    view = dataclasses.replace(view_of([1] * 9, known=ragged([[4, 1], []])), question_texts=None)
    assert rows_of(all_positives(view)) == [[4, 1], []]


def test_positives_their_twins_repeats_and_holes_are_dropped() -> None:
    """Items 0 and 5 are equal, and so are 2 and 3. Row -1 is no item, least of all the last one."""
    content = np.array([50, 51, 52, 52, 54, 50])
    rows = np.array([[5, 0, 3, 2, 1], [0, 5, -1, -1, -1], [-1, -1, -1, -1, -1]])
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.4, 0.3, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    ranking = filtered(rows, scores, ragged([[0, 4], [1], [2]]), content, last=9)
    assert rows_of(ranking.candidates) == [[3, 1], [0], []]
    assert ranking.scores.tolist() == np.array([0.7, 0.5, 0.4], np.float32).tolist()
    assert ranking.removed == {"known positive": 1, "equal to a positive": 1, "equal to another candidate": 2}


def test_ranks_are_counted_after_the_positives_are_gone() -> None:
    rows = np.array([[0, 1, 2, 3, 4]])
    ranking = filtered(rows, np.zeros((1, 5), np.float32), ragged([[0, 2]]), np.arange(6), last=2)
    assert rows_of(ranking.candidates) == [[1, 3]]


def test_enough_is_asked_for_whatever_is_dropped() -> None:
    """The second question has two positives, with three items that equal the first of them: 4 + 1 may stand before the candidates."""
    content = np.array([0, 1, 1, 1, 1, 5, 6, 7, 8, 9])
    assert to_ask_for(3, ragged([[5], [1, 6], []]), content) == 3 + 5
    assert to_ask_for(100, ragged([[5]]), content) == 10, "no more than there are"


def test_no_question_at_all() -> None:
    ranking = filtered(np.empty((0, 3), np.int64), np.empty((0, 3), np.float32), ragged([]), np.arange(4), last=2)
    assert len(ranking.candidates) == 0
