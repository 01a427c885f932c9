"""What every index keeps, whatever it is made of."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from vector_cases import DIM, PAIRS, QUERIES, SIZE, catalogue, questions, recall, similarities

from tt_hydra.contracts import SearchResult
from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.storage import load_index

K = 10
ITEMS, ASKED = catalogue(), questions()
EXACT_CODES = {"none", "fp16", "int8", "scalar", "pca", "pca_int8", "binary", "pq_refined"}
every_index = pytest.mark.parametrize("name", PAIRS)
both_metrics = pytest.mark.parametrize("metric", ["dot", "cosine"])


@functools.cache
def built(name: str, metric: str) -> FaissIndex:
    return build_index(*PAIRS[name], ITEMS, metric, seed=3)


@functools.cache
def truth(metric: str) -> np.ndarray:
    return similarities(ASKED, ITEMS, metric)


def widened(vectors: np.ndarray) -> np.ndarray:
    """Eight more dimensions."""
    more = np.random.default_rng(len(vectors)).normal(size=(len(vectors), 8), scale=2)
    return np.concatenate([vectors, more], axis=1, dtype=np.float32)


def search_unrefined(index: FaissIndex) -> SearchResult:
    return index.search(ASKED, K, params={"refine": 0} if "refine" in index.search_params else None)


def floor(name: str) -> float:
    """Recall@10 that must be kept: codes of one byte or more a dimension lose little, product codes alone much."""
    codes = name.partition("-")[2]
    if codes in EXACT_CODES or "Flat" in codes or "SQ8" in codes:
        return 0.88
    return 0.5


@both_metrics
@every_index
def test_finds_what_exact_search_finds(name: str, metric: str) -> None:
    found = built(name, metric).search(ASKED, K)
    assert recall(found.rows, truth(metric)) >= floor(name)


@both_metrics
@every_index
def test_scores_are_the_metric_best_first_and_ties_stand_by_row(name: str, metric: str) -> None:
    found = built(name, metric).search(ASKED, K)
    true = np.take_along_axis(truth(metric), found.rows, axis=1)
    tolerance = 0.3 if floor(name) < 0.6 else 0.06
    assert np.abs(found.scores - true).mean() <= tolerance * np.abs(true).mean()
    assert found.scores.dtype == np.float32
    assert found.rows.dtype == np.int64
    step = np.diff(found.scores, axis=1)
    assert (step <= 0).all()
    assert (np.diff(found.rows, axis=1)[step == 0] > 0).all()


@both_metrics
@every_index
def test_returns_every_row_once_and_then_nothing_when_more_are_asked_for(name: str, metric: str) -> None:
    found = built(name, metric).search(ASKED[:3], SIZE + 7)
    np.testing.assert_array_equal(np.sort(found.rows[:, :SIZE], axis=1), np.tile(np.arange(SIZE), (3, 1)))
    assert (found.rows[:, SIZE:] == -1).all()
    assert np.isneginf(found.scores[:, SIZE:]).all()
    assert np.isfinite(found.scores[:, :SIZE]).all()


@pytest.mark.parametrize("share", [0.5, 0.03])
@every_index
def test_searches_among_allowed_rows_only_and_fills_the_list(name: str, share: float) -> None:
    allowed = np.random.default_rng(4).random(SIZE) < share
    found = built(name, "dot").search(ASKED, K, allowed=allowed)
    assert allowed[found.rows].all()
    assert (found.rows >= 0).all()
    assert recall(found.rows, np.where(allowed, truth("dot"), -100)) >= floor(name)


@every_index
def test_few_allowed_rows_are_all_returned_and_the_rest_is_empty(name: str) -> None:
    index = built(name, "cosine")
    allowed = np.zeros(SIZE, np.bool_)
    nothing = index.search(ASKED, K, allowed=allowed)
    assert (nothing.rows == -1).all()
    assert np.isneginf(nothing.scores).all()
    allowed[[5, 300, SIZE - 1]] = True
    found = index.search(ASKED, K, allowed=allowed)
    assert {tuple(sorted(rows)) for rows in found.rows[:, :3]} == {(5, 300, SIZE - 1)}
    assert (found.rows[:, 3:] == -1).all()


@both_metrics
@every_index
def test_a_loaded_index_answers_as_the_saved_one(name: str, metric: str, tmp_path) -> None:
    index = built(name, metric)
    index.save(tmp_path)
    loaded = load_index(tmp_path, ITEMS)
    allowed = np.arange(SIZE) % 3 > 0
    for mask in (None, allowed):
        before, after = index.search(ASKED, K, allowed=mask), loaded.search(ASKED, K, allowed=mask)
        np.testing.assert_array_equal(before.rows, after.rows)
        np.testing.assert_array_equal(before.scores, after.scores)
    assert (loaded.size, loaded.dim, loaded.metric) == (SIZE, DIM, metric)
    assert (loaded.spec, loaded.quantization, loaded.search_params) == (*PAIRS[name], index.search_params)


@both_metrics
@every_index
def test_a_prefix_is_searched_like_vectors_that_end_there(name: str, metric: str, tmp_path) -> None:
    wide_items, wide_asked = widened(ITEMS), widened(ASKED)
    index = build_index(*PAIRS[name], wide_items, metric, seed=3, prefix_dim=DIM)
    index.save(tmp_path)
    for same in (index, load_index(tmp_path, wide_items)):
        assert (same.dim, same.prefix_dim) == (DIM + 8, DIM)
        assert same.search_params == {"refine": 0, **built(name, metric).search_params}
        found, expected = same.search(wide_asked, K, params={"refine": 0}), search_unrefined(built(name, metric))
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


@both_metrics
@pytest.mark.parametrize("name", ["flat-none", "ivf-none", "hnsw-none", "factory-NSG16,Flat", "factory-HNSW16,Flat"])
def test_exhaustive_search_over_whole_vectors_is_exact_whatever_the_parameters(name: str, metric: str) -> None:
    index = built(name, metric)
    allowed = np.arange(SIZE) % 2 > 0
    found = index.exhaustive().search(ASKED, K, params=dict.fromkeys(index.search_params, 1))
    assert recall(found.rows, truth(metric)) == 1
    among = index.exhaustive().search(ASKED, K, allowed=allowed)
    assert allowed[among.rows].all()
    assert recall(among.rows, np.where(allowed, truth(metric), -100)) == 1


@every_index
def test_exhaustive_search_compares_all_codes_and_leaves_the_index_as_it_is(name: str) -> None:
    index = built(name, "dot")
    before = index.search(ASKED, K)
    low = {parameter: 1 for parameter in index.search_params if parameter in ("nprobe", "efSearch")}
    thorough = index.exhaustive()
    np.testing.assert_array_equal(thorough.search(ASKED, K, params=low).rows, thorough.search(ASKED, K).rows)
    assert recall(thorough.search(ASKED, K).rows, truth("dot")) >= recall(before.rows, truth("dot")) - 0.02
    np.testing.assert_array_equal(index.search(ASKED, K).rows, before.rows)


@pytest.mark.parametrize("codes", ["none", "fp16", "int8", "pca"])
def test_the_codes_of_a_graph_give_what_a_flat_index_over_them_gives(codes: str) -> None:
    graph, flat = built(f"hnsw-{codes}", "cosine").exhaustive().search(ASKED, K), built(f"flat-{codes}", "cosine").search(ASKED, K)
    np.testing.assert_allclose(graph.scores, flat.scores, rtol=1e-3, atol=1e-5)


@both_metrics
def test_a_prefix_without_codes_is_exact_over_cut_vectors_and_with_rescoring_over_whole_ones(metric: str) -> None:
    wide_items, wide_asked = widened(ITEMS), widened(ASKED)
    index = build_index(*PAIRS["flat-none"], wide_items, metric, prefix_dim=16)
    cut, whole = (similarities(wide_asked[:, :dim], wide_items[:, :dim], metric) for dim in (16, DIM + 8))
    found = index.search(wide_asked, K)
    assert recall(found.rows, cut) == 1
    np.testing.assert_allclose(found.scores, np.take_along_axis(cut, found.rows, axis=1), rtol=1e-4, atol=1e-5)
    rescored = index.search(wide_asked, K, params={"refine": SIZE // K})
    assert recall(rescored.rows, whole) == 1
    assert recall(found.rows, whole) < 0.95, "the premise is that the last dimensions matter"
    np.testing.assert_allclose(rescored.scores, np.take_along_axis(whole, rescored.rows, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix_dim", [0, DIM, DIM + 1])
def test_a_prefix_that_is_none_is_refused(prefix_dim: int) -> None:
    with pytest.raises(IndexSpecError, match="prefix_dim"):
        build_index(*PAIRS["flat-none"], ITEMS, "dot", prefix_dim=prefix_dim)


@every_index
def test_the_same_arguments_build_the_same_files(name: str, tmp_path) -> None:
    build_index(*PAIRS[name], ITEMS, "dot", seed=3).save(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    built(name, "dot").save(again)
    for file in ("index.json", "index.faiss"):
        assert (tmp_path / file).read_bytes() == (again / file).read_bytes()


@every_index
def test_search_parameters_hold_for_one_call_only(name: str) -> None:
    index = built(name, "dot")
    before = index.search(ASKED, K)
    for parameter in index.search_params:
        index.search(ASKED, K, params={parameter: 1})
    after = index.search(ASKED, K)
    np.testing.assert_array_equal(before.rows, after.rows)
    with pytest.raises(IndexSpecError, match="unknown"):
        index.search(ASKED, K, params={"ef": 3})


@every_index
def test_takes_any_numbers_in_any_layout(name: str) -> None:
    index = built(name, "cosine")
    expected = index.search(ASKED, K)
    for same in (ASKED.astype(np.float64), np.asfortranarray(ASKED), np.repeat(ASKED, 2, axis=0)[::2]):
        np.testing.assert_array_equal(index.search(same, K).rows, expected.rows)
    one_by_one = np.concatenate([index.search(query[None], K).scores for query in ASKED])
    np.testing.assert_allclose(one_by_one, expected.scores, rtol=1e-4, atol=1e-5)


@every_index
def test_threads_may_search_at_once_each_with_its_own_parameters_and_mask(name: str) -> None:
    index = built(name, "dot")
    calls = [{"params": dict.fromkeys(index.search_params, number), "allowed": np.arange(SIZE) % number == 0} for number in (1, 2, 3)] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda call: index.search(ASKED, K, **call).rows, calls))
    for rows, call in zip(together, calls, strict=True):
        np.testing.assert_array_equal(rows, index.search(ASKED, K, **call).rows)


@every_index
def test_refuses_what_is_no_query(name: str) -> None:
    index = built(name, "dot")
    broken = ASKED.copy()
    broken[7, 3] = np.nan
    with pytest.raises(IndexSpecError, match="row 7"):
        index.search(broken, K)
    with pytest.raises(IndexSpecError, match=f"{DIM - 1} dimensions, the index has {DIM}"):
        index.search(ASKED[:, 1:], K)
    with pytest.raises(IndexSpecError, match="matrix"):
        index.search(ASKED[0], K)
    with pytest.raises(IndexSpecError, match="at least one"):
        index.search(ASKED, 0)
    with pytest.raises(IndexSpecError, match=f"{SIZE} booleans"):
        index.search(ASKED, K, allowed=np.ones(SIZE + 1, np.bool_))
    assert index.search(ASKED[:0], K).rows.shape == (0, K)


def test_there_are_queries_and_repeats_to_tell_apart() -> None:
    assert len(ASKED) == QUERIES
    assert (ITEMS[10] == ITEMS[12]).all()
    assert not ITEMS[5].any()
