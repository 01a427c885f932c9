from __future__ import annotations

import logging

import faiss
import numpy as np
import pytest
from vector_cases import catalogue, questions, recall, similarities

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.graph import orphans, reachable, warn_unreachable
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.pq import Pq


@pytest.mark.parametrize("spread", [0, 0.3, 0.8])
def test_finds_the_best_inner_products_however_unequal_the_norms(spread: float) -> None:
    items, queries = catalogue(2000, spread=spread), questions()
    index = build_index(Hnsw(M=16, efConstruction=80), NoQuantization(), items, "dot")
    assert recall(index.search(queries, 10).rows, similarities(queries, items, "dot")) >= 0.97


def test_keeps_at_least_as_many_candidates_as_results_are_wanted() -> None:
    items, queries = catalogue(), questions()
    index = build_index(Hnsw(M=16, efConstruction=80, efSearch=1), NoQuantization(), items, "cosine")
    assert recall(index.search(queries, 100).rows, similarities(queries, items, "cosine")) > 0.95


def test_a_wider_walk_finds_more() -> None:
    items, queries = catalogue(3000), questions(100)
    scores = similarities(queries, items, "dot")
    index = build_index(Hnsw(M=4, efConstruction=20, efSearch=10), NoQuantization(), items, "dot")
    narrow, wide = (recall(index.search(queries, 10, params={"efSearch": ef}).rows, scores) for ef in (10, 200))
    assert narrow < wide


def test_the_graph_is_that_of_the_full_vectors_whatever_the_codes(tmp_path) -> None:
    """So coarse codes cost the accuracy of comparisons, not that of the paths."""
    graphs = []
    for codes in (NoQuantization(), Pq(m=6, bits=4)):
        folder = tmp_path / type(codes).__name__
        folder.mkdir()
        build_index(Hnsw(M=8), codes, catalogue(), "dot").save(folder)
        graphs.append(faiss.read_index(str(folder / "index.faiss")))
    np.testing.assert_array_equal(*(faiss.vector_to_array(graph.hnsw.neighbors) for graph in graphs))
    assert (tmp_path / "Pq" / "index.faiss").stat().st_size < (tmp_path / "NoQuantization" / "index.faiss").stat().st_size


def test_rows_cut_off_from_the_graph_are_noticed_and_still_returned_when_all_are_asked_for(caplog) -> None:
    graph = faiss.IndexHNSWFlat(4, 4, faiss.METRIC_INNER_PRODUCT)
    graph.add(catalogue(100, dim=4))
    assert len(reachable(graph)) > 50
    neighbours = faiss.vector_to_array(graph.hnsw.neighbors)
    faiss.copy_array_to_vector(np.full_like(neighbours, -1), graph.hnsw.neighbors)
    with caplog.at_level(logging.WARNING):
        warn_unreachable(graph)
    assert len(reachable(graph)) < 50
    assert "not reachable in the graph" in caplog.text


@pytest.mark.parametrize("fields", [{"M": 1}, {"efConstruction": 0}, {"efSearch": 0}, {"threads": 0}])
def test_values_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(IndexSpecError, match=f"index.{next(iter(fields))}="):
        Hnsw(**fields)


def test_orphans_are_the_rows_that_nobody_links_to() -> None:
    items = catalogue(2000, spread=1.0)
    index = build_index(Hnsw(M=8, efConstruction=40), NoQuantization(), items, "dot")._index
    graph = index.hnsw
    neighbours, offsets, levels = (faiss.vector_to_array(each).tolist() for each in (graph.neighbors, graph.offsets, graph.levels))
    linked = {int(graph.entry_point)} | {row for row in range(2000) if levels[row] > 1}
    for row in range(2000):
        linked |= set(neighbours[offsets[row] : offsets[row] + graph.nb_neighbors(0)])
    found = orphans(index)
    assert set(found.tolist()) == set(range(2000)) - linked
    assert len(found) > 20, "the premise: items of small norm are nobody's neighbours"
    assert not set(found.tolist()) & set(reachable(index).tolist())


def test_orphans_are_found_where_few_others_are_left() -> None:
    items, queries = catalogue(12_000, spread=1.0), questions(100)
    index = build_index(Hnsw(M=8, efConstruction=40, efSearch=24), NoQuantization(), items, "dot")
    allowed = np.random.default_rng(0).random(12_000) < 0.2
    truth = np.where(allowed, similarities(queries, items, "dot"), -1e9)
    linked = np.setdiff1d(np.flatnonzero(allowed), orphans(index._index))
    ceiling = np.isin(truth.argsort(axis=1)[:, :-11:-1], linked).mean()
    assert ceiling < 0.95, "the premise: some of the best are orphans"
    assert recall(index.search(queries, 10, allowed=allowed).rows, truth) >= 0.98
