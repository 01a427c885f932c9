from __future__ import annotations

import pytest
from vector_cases import catalogue, questions, recall, similarities

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.check import check_pair
from tt_hydra.index.factory import Factory
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization

NONE = NoQuantization()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("IVF16,Flut", "is no FAISS factory string"),
        ("PQ7", "is no FAISS factory string"),
        ("LSH", "is no FAISS factory string for inner products"),
        ("IDMap,Flat", "remove IDMap"),
        ("HNSW16_PQ12", "index=hnsw quantization=pq"),
        ("IVF1000,Flat", "needs at least 1000 vectors to train, got 700"),
        ("PQ12x10", "needs at least 1024 vectors"),
        ("HNSW16_PQ12x10", "Euclidean"),
    ],
)
def test_strings_that_cannot_work_are_refused_before_any_training(spec: str, message: str) -> None:
    with pytest.raises(IndexSpecError, match=message):
        check_pair(Factory(spec=spec), NONE, 24, 700)


def test_the_string_alone_names_the_codes() -> None:
    with pytest.raises(IndexSpecError, match=r"index.spec='Flat', but quantization=int8 was chosen too: set quantization=none"):
        check_pair(Factory(), Int8(), 24, 700)


def test_strings_are_checked_before_the_dimension_is_known() -> None:
    check_pair(Factory(spec="OPQ16_64,IVF256,PQ16"), NONE, None, None)
    with pytest.raises(IndexSpecError, match="no FAISS factory string"):
        check_pair(Factory(spec="IVF,"), NONE, None, None)


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        ("Flat", {"refine": 0}),
        ("IVF9,Flat", {"nprobe": 8, "refine": 0}),
        ("HNSW8", {"efSearch": 128, "refine": 0}),
        ("IVF9_HNSW8,Flat", {"nprobe": 8, "efSearch": 128, "refine": 0}),
        ("SQ4,RFlat", {"k_factor": 10, "refine": 0}),
    ],
)
def test_search_parameters_are_those_of_the_string(spec: str, params: dict[str, int]) -> None:
    assert build_index(Factory(spec=spec), NONE, catalogue(), "dot").search_params == params


def test_nprobe_never_stays_at_the_one_of_faiss() -> None:
    items, queries = catalogue(), questions()
    index = build_index(Factory(spec="IVF8,Flat"), NONE, items, "dot")
    assert recall(index.search(queries, 10).rows, similarities(queries, items, "dot")) == 1


def test_pca_in_a_string_does_not_change_the_ranking() -> None:
    items = catalogue(rank=5) + 3
    index = build_index(Factory(spec="PCA12,Flat"), NONE, items, "dot")
    assert recall(index.search(questions(rank=5), 10).rows, similarities(questions(rank=5), items, "dot")) > 0.85


def test_rescoring_with_the_full_vectors() -> None:
    items, queries = catalogue(), questions()
    scores = similarities(queries, items, "cosine")
    plain = build_index(Factory(spec="PQ6x4"), NONE, items, "cosine")
    refined = build_index(Factory(spec="PQ6x4", refine=20), NONE, items, "cosine")
    assert recall(refined.search(queries, 10).rows, scores) > recall(plain.search(queries, 10).rows, scores) + 0.2


def test_an_empty_string_is_refused() -> None:
    with pytest.raises(IndexSpecError, match=r"index\.spec is empty"):
        Factory(spec=" ")
