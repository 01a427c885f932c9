from __future__ import annotations

import numpy as np
import pytest
from vector_cases import catalogue, questions, similarities

from tt_hydra.contracts import Ragged
from tt_hydra.errors import DataError
from tt_hydra.metrics.exact import exact_search


def ranking(scores: np.ndarray, k: int) -> np.ndarray:
    """Rows by (score descending, row ascending), by a full sort."""
    rows = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.lexsort((rows, -scores.astype(np.float32)), axis=1)[:, :k]


def ragged(lists: list[list[int]]) -> Ragged:
    values = np.array([value for row in lists for value in row], np.int64)
    return Ragged(values, np.cumsum([0, *map(len, lists)]).astype(np.int64))


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_equals_a_full_sort(metric: str, k: int) -> None:
    items, queries = catalogue(300), questions()
    scores = similarities(queries, items, metric)
    found = exact_search(queries, items, k, metric)
    np.testing.assert_array_equal(found.rows, ranking(scores, k))
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, found.rows, axis=1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("chunks", [(1, 1), (3, 7), (64, 50), (7, 1000)])
@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_chunks_change_nothing_even_where_the_kth_place_is_tied(metric: str, chunks: tuple[int, int]) -> None:
    items = np.repeat(catalogue(40), 5, axis=0)[np.random.default_rng(0).permutation(200)]
    queries = questions(11)
    whole = exact_search(queries, items, 12, metric, query_chunk=1000, item_chunk=1000)
    cut = exact_search(queries, items, 12, metric, query_chunk=chunks[0], item_chunk=chunks[1])
    np.testing.assert_array_equal(cut.rows, whole.rows)
    np.testing.assert_array_equal(cut.scores, whole.scores)
    np.testing.assert_array_equal(whole.rows, ranking(similarities(queries, items, metric), 12))


def test_all_equal_scores_give_the_first_rows() -> None:
    found = exact_search(np.zeros((2, 3), np.float32), np.ones((50, 3), np.float32), 5, "dot", item_chunk=8)
    np.testing.assert_array_equal(found.rows, [[0, 1, 2, 3, 4]] * 2)
    assert not found.scores.any()


@pytest.mark.parametrize("item_chunk", [4, 1000])
def test_excluded_items_are_never_returned_and_short_lists_end_empty(item_chunk: int) -> None:
    items = np.array([[5.0], [4], [3], [2], [1]], np.float32)
    queries = np.array([[1.0], [1], [-1]], np.float32)
    found = exact_search(queries, items, 4, "dot", exclude=ragged([[0, 3], [], [4, 0, 1, 2]]), item_chunk=item_chunk)
    np.testing.assert_array_equal(found.rows, [[1, 2, 4, -1], [0, 1, 2, 3], [3, -1, -1, -1]])
    np.testing.assert_array_equal(found.scores[0], [4, 3, 1, -np.inf])
    np.testing.assert_array_equal(found.scores[2], [-2, -np.inf, -np.inf, -np.inf])


def test_more_asked_for_than_there_are_and_no_queries() -> None:
    items = catalogue(20)
    found = exact_search(questions(2), items, 25, "cosine")
    assert (np.sort(found.rows[:, :20], axis=1) == np.arange(20)).all()
    assert (found.rows[:, 20:] == -1).all()
    assert exact_search(questions(2)[:0], items, 5, "dot").rows.shape == (0, 5)


def test_reads_memory_mapped_matrices(tmp_path) -> None:
    np.save(tmp_path / "items.npy", catalogue(100))
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        exact_search(questions(5), mapped, 7, "dot", item_chunk=9).rows, exact_search(questions(5), catalogue(100), 7, "dot").rows
    )


def test_refuses_what_cannot_be_compared() -> None:
    items, queries = catalogue(20), questions(3)
    with pytest.raises(DataError, match="equal width"):
        exact_search(queries[:, 1:], items, 5, "dot")
    items[3, 2] = np.inf
    with pytest.raises(DataError, match="NaN or infinity"):
        exact_search(queries, items, 5, "dot")
    with pytest.raises(ValueError, match="1 rows for 3 queries"):
        exact_search(queries, catalogue(20), 5, "dot", exclude=ragged([[1]]))
