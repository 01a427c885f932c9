from __future__ import annotations

import numpy as np
import pytest
from vector_cases import catalogue, questions, recall, similarities

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.metrics.exact import exact_search
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq


@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_without_quantization_it_is_exact_search(metric: str) -> None:
    items, queries = catalogue(), questions()
    index = build_index(Flat(), NoQuantization(), items, metric)
    exact = exact_search(queries, items, 10, metric)
    np.testing.assert_allclose(index.search(queries, 10).scores, exact.scores, rtol=1e-5, atol=1e-6)
    assert index.search_params == {}


def test_cosine_ignores_norms_and_a_zero_vector_scores_zero() -> None:
    items = np.array([[10, 0], [0.1, 0.1], [0, 0]], np.float32)
    found = build_index(Flat(), NoQuantization(), items, "cosine").search(np.array([[3, 3], [0, 0]], np.float32), 3)
    np.testing.assert_array_equal(found.rows, [[1, 0, 2], [0, 1, 2]])
    np.testing.assert_allclose(found.scores, [[1, 2**-0.5, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("codes", [Int8(refine=10), Pca(dim=8, refine=10), Pq(refine=10), Opq(refine=10, iterations=2), Binary()])
def test_rescored_scores_are_exact(codes: object) -> None:
    items, queries = catalogue(), questions()
    index = build_index(Flat(), codes, items, "dot")
    found, scores = index.search(queries, 10), similarities(queries, items, "dot")
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, found.rows, axis=1), rtol=1e-4, atol=1e-4)
    plain = index.search(queries, 10, params={"refine": 0})
    assert recall(found.rows, scores) >= recall(plain.rows, scores)


def test_opq_takes_pieces_that_do_not_divide_the_dimension() -> None:
    items, queries = catalogue(dim=13), questions(dim=13)
    index = build_index(Flat(), Opq(m=5, bits=6, iterations=2, refine=10), items, "dot")
    assert recall(index.search(queries, 10).rows, similarities(queries, items, "dot")) > 0.8


def test_opq_learns_from_fewer_vectors_than_dimensions() -> None:
    """FAISS itself writes past its buffers here; the premise of this test is that the process survives."""
    items = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    found = build_index(Flat(), Opq(m=16, bits=4, iterations=2, refine=4), items, "cosine").search(items, 1)
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(40))


def test_projection_keeps_the_ranking_of_items_that_share_a_large_mean() -> None:
    """Subtracting the mean on both sides, as PCA does, would rank by <q - mean, x - mean> instead."""
    items = catalogue(rank=5) + 3 * np.eye(24, dtype=np.float32)[0]
    queries = questions(rank=5)
    index = build_index(Flat(), Pca(dim=8), items, "dot")
    assert recall(index.search(queries, 10).rows, similarities(queries, items, "dot")) > 0.85


@pytest.mark.parametrize("codes", [NoQuantization(), Int8(), Binary(), Pca()])
@pytest.mark.parametrize("size", [1, 2])
def test_one_item_is_a_catalogue(codes: object, size: int) -> None:
    items = catalogue(20, dim=7)[:size]
    found = build_index(Flat(), codes, items, "cosine").search(items, 3)
    assert (np.sort(found.rows[:, :size], axis=1) == np.arange(size)).all()
    assert (found.rows[:, size:] == -1).all()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (np.empty((0, 4), np.float32), "empty"),
        (np.empty((4, 0), np.float32), "empty"),
        (np.ones(4, np.float32), "matrix of numbers"),
        (np.array([["a", "b"]]), "matrix of numbers"),
        (np.array([[1, 2], [np.nan, 0], [1, np.inf]]), "NaN or infinity, first in row 1"),
    ],
)
def test_what_is_no_catalogue_is_refused(items: np.ndarray, message: str) -> None:
    with pytest.raises(IndexSpecError, match=message):
        build_index(Flat(), NoQuantization(), items, "dot")


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(IndexSpecError, match="allowed are dot and cosine"):
        build_index(Flat(), NoQuantization(), catalogue(), "l2")
