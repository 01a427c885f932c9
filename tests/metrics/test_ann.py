from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.contracts import SearchResult
from tt_hydra.metrics.ann import ann_recall, recall_per_query
from tt_hydra.metrics.exact import exact_search

ITEMS = np.array([[4.0, 0], [3, 0], [3, 0], [3, 0], [1, 0], [0, 2]], np.float32)
QUERY = np.array([[1.0, 0]], np.float32)


def found(*rows: int) -> SearchResult:
    return SearchResult(np.zeros((1, len(rows)), np.float32), np.array([rows], np.int64))


@pytest.mark.parametrize(
    ("rows", "recall"),
    [
        ((0, 1), 1),
        ((0, 3), 1),  # equal to the second best
        ((2, 3), 1),  # both reach the second best score
        ((0, 4), 0.5),
        ((0, 0), 0.5),  # a row counts once
        ((0, -1), 0.5),
        ((4, 5), 0),
        ((-1, -1), 0),
    ],
)
def test_rows_count_by_score_not_by_name(rows: tuple[int, ...], recall: float) -> None:
    exact = exact_search(QUERY, ITEMS, 2, "dot")
    assert recall_per_query(found(*rows), exact, QUERY, ITEMS, "dot") == pytest.approx([recall])


def test_scores_are_of_the_metric() -> None:
    exact = exact_search(QUERY, ITEMS, 5, "cosine")
    assert recall_per_query(found(0, 1, 2, 3, 4), exact, QUERY, ITEMS, "cosine") == pytest.approx([1])
    assert recall_per_query(found(0, 1, 2, 3, 5), exact, QUERY, ITEMS, "cosine") == pytest.approx([0.8])


def test_fewer_items_than_asked_for_count_as_all() -> None:
    exact = exact_search(QUERY, ITEMS[:2], 4, "dot")
    assert recall_per_query(found(1, 0, -1, -1), exact, QUERY, ITEMS[:2], "dot") == pytest.approx([1])
    assert recall_per_query(found(1, -1, -1, -1), exact, QUERY, ITEMS[:2], "dot") == pytest.approx([0.5])


def test_float32_noise_is_a_tie_but_a_real_difference_is_not() -> None:
    items = np.array([[1000.0], [1000 - 1e-4], [999]], np.float32)
    exact = exact_search(QUERY[:, :1], items, 1, "dot")
    assert [recall_per_query(found(row), exact, QUERY[:, :1], items, "dot")[0] for row in range(3)] == [1, 1, 0]


def test_the_interval_is_seeded_and_holds_the_mean() -> None:
    generator = np.random.default_rng(0)
    queries, items = generator.normal(size=(60, 4)).astype(np.float32), generator.normal(size=(50, 4)).astype(np.float32)
    exact = exact_search(queries, items, 5, "dot")
    half = SearchResult(exact.scores, np.where(np.arange(5) < generator.integers(0, 6, (60, 1)), exact.rows, -1))
    estimate = ann_recall(half, exact, queries, items, "dot", seed=1)
    assert estimate == ann_recall(half, exact, queries, items, "dot", seed=1)
    assert estimate.value == pytest.approx((half.rows >= 0).mean(), abs=1e-6)
    assert estimate.low < estimate.value < estimate.high


def test_results_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        recall_per_query(found(0, 1, 2), exact_search(QUERY, ITEMS, 2, "dot"), QUERY, ITEMS, "dot")
