from __future__ import annotations

import logging

import numpy as np
import pytest
from vector_cases import catalogue, questions, recall, similarities

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.ivf import Ivf, resolve_nprobe
from tt_hydra.quantization.none import NoQuantization


@pytest.mark.parametrize(("size", "nlist"), [(1, 1), (77, 1), (78, 2), (1682, 43), (10_000, 256), (1_000_000, 4000)])
def test_lists_grow_with_the_catalogue_and_keep_39_items_each(size: int, nlist: int) -> None:
    assert Ivf().resolve_nlist(size) == nlist


@pytest.mark.parametrize(("nlist", "nprobe"), [(1, 1), (4, 4), (43, 13), (4000, 126)])
def test_visited_lists_grow_with_their_number(nlist: int, nprobe: int) -> None:
    assert resolve_nprobe(None, nlist) == nprobe


def test_more_lists_than_items_are_refused_with_what_is_possible() -> None:
    with pytest.raises(IndexSpecError, match="nlist=800 is more than the 700 items: the nearest possible nlist is 700, a useful one 17"):
        build_index(Ivf(nlist=800), NoQuantization(), catalogue(), "dot")
    with pytest.raises(IndexSpecError, match="nearest possible nprobe is 4"):
        Ivf(nlist=4, nprobe=5)


@pytest.mark.parametrize(("size", "params"), [(700, {"nprobe": 17}), (60, {})], ids=["17 lists", "one list"])
def test_more_visits_than_lists_are_as_many_as_there_are_where_their_number_was_not_given(caplog, size: int, params: dict) -> None:
    items, queries = catalogue(size), questions()
    with caplog.at_level(logging.WARNING):
        index = build_index(Ivf(nprobe=18), NoQuantization(), items, "dot")
    assert (index.search_params, index.spec) == (params, Ivf(nprobe=18)), "what was asked for stays, for when there are more lists"
    assert recall(index.search(queries, 10).rows, similarities(queries, items, "dot")) == 1
    assert f"index.nprobe=18 is more than the {params.get('nprobe', 1)} lists that {size} items give" in caplog.text


def test_lists_with_few_items_are_built_with_a_warning(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        index = build_index(Ivf(nlist=100), NoQuantization(), catalogue(), "dot")
    assert "leaves 7.0 items a list" in caplog.text
    assert index.search_params == {"nprobe": 20}


def test_all_lists_visited_is_exact_and_more_lists_find_more() -> None:
    items, queries = catalogue(), questions()
    scores = similarities(queries, items, "dot")
    index = build_index(Ivf(), NoQuantization(), items, "dot")
    recalls = [recall(index.search(queries, 10, params={"nprobe": nprobe}).rows, scores) for nprobe in (1, 4, 17, 1000)]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[1] < 1
    assert recalls[2:] == [1, 1]


def test_unequal_norms_are_served_better_than_by_faiss_own_lists() -> None:
    items, queries = catalogue(3000, spread=0.6), questions(100)
    scores = similarities(queries, items, "dot")
    import faiss  # noqa: PLC0415

    theirs = faiss.index_factory(24, "IVF76,Flat", faiss.METRIC_INNER_PRODUCT)
    theirs.cp.min_points_per_centroid = 1
    theirs.train(items)
    theirs.add(items)
    rows = theirs.search(queries, 10, params=faiss.SearchParametersIVF(nprobe=4))[1]
    ours = build_index(Ivf(nlist=76, nprobe=4), NoQuantization(), items, "dot")
    assert recall(ours.search(queries, 10).rows, scores) > recall(rows, scores) + 0.05


def test_repeated_items_make_no_trouble() -> None:
    items = np.ones((200, 4), np.float32)
    found = build_index(Ivf(nlist=5, nprobe=2), NoQuantization(), items, "cosine").search(items[:1], 200)
    assert (np.sort(found.rows) == np.arange(200)).all()


def test_few_allowed_rows_are_looked_for_in_more_lists() -> None:
    items, queries = catalogue(3000), questions()
    allowed = np.zeros(3000, np.bool_)
    allowed[::50] = True
    index = build_index(Ivf(nlist=60, nprobe=8), NoQuantization(), items, "dot")
    found = index.search(queries, 10, allowed=allowed)
    truth = np.where(allowed, similarities(queries, items, "dot"), -100)
    assert recall(found.rows, truth) == 1
    assert recall(index.search(queries, 10, params={"nprobe": 1000}, allowed=allowed).rows, truth) == 1
