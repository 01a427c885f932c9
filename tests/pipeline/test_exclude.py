from __future__ import annotations

import numpy as np

from tt_hydra.contracts import Ragged, SearchResult
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.metrics.exact import exact_search
from tt_hydra.pipeline.stage import exclude
from tt_hydra.pipeline.stage.exclude import search_excluding, without
from tt_hydra.quantization.none import NoQuantization


def lists(*rows: list[int]) -> Ragged:
    return Ragged(np.array([item for row in rows for item in row], np.int64), np.cumsum([0, *map(len, rows)]))


def test_unwanted_rows_leave_and_the_order_of_the_others_stays() -> None:
    result = SearchResult(np.array([[5, 4, 3, 2], [9, 8, 7, 6]], np.float32), np.array([[7, 1, 3, 0], [2, 0, 1, 3]]))
    kept = without(result, lists([1, 0], [5]), k=3)
    assert kept.rows.tolist() == [[7, 3, -1], [2, 0, 1]]
    assert kept.scores.tolist() == [[5, 3, -np.inf], [9, 8, 7]]


def test_an_exact_index_gives_what_exact_search_gives() -> None:
    random = np.random.default_rng(0)
    items, queries = random.normal(size=(60, 8)).astype(np.float32), random.normal(size=(9, 8)).astype(np.float32)
    seen = lists(*[sorted(random.permutation(60)[:count].tolist()) for count in (0, 1, 5, 20, 59, 3, 0, 7, 2)])
    index = build_index(Flat(), NoQuantization(), items, "dot")
    found = search_excluding(index, queries, 10, seen)
    wanted = exact_search(queries, items, 10, "dot", exclude=seen)
    assert found.rows.tolist() == wanted.rows.tolist()


class Noted:
    """An exact index that notes how many rows each query was searched for."""

    def __init__(self, items: np.ndarray) -> None:
        self.items, self.asked = items, []

    def search(self, queries: np.ndarray, k: int) -> SearchResult:
        self.asked += [k] * len(queries)
        return exact_search(queries, self.items, k, "dot")


def test_a_query_with_a_short_list_is_not_searched_as_deep_as_one_with_a_long_list(monkeypatch) -> None:
    monkeypatch.setattr(exclude, "CHUNK", 2)
    random = np.random.default_rng(0)
    items, queries = random.normal(size=(60, 8)).astype(np.float32), random.normal(size=(6, 8)).astype(np.float32)
    seen = lists(*[list(range(count)) for count in (30, 0, 3, 29, 1, 4)])
    index = Noted(items)
    found = search_excluding(index, queries, 5, seen)
    assert index.asked == [6, 6, 9, 9, 35, 35]
    assert found.rows.tolist() == exact_search(queries, items, 5, "dot", exclude=seen).rows.tolist()


def test_no_query_gives_an_empty_result() -> None:
    index = build_index(Flat(), NoQuantization(), np.eye(4, dtype=np.float32), "dot")
    assert search_excluding(index, np.empty((0, 4), np.float32), 3, None).rows.shape == (0, 3)
