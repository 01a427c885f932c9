from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from bundle_parts import FULL, make_parts

import tt_hydra
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.errors import BundleError, DataError
from tt_hydra.serve.retriever import Query, Retriever


@pytest.fixture(scope="module")
def retriever(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return Retriever.load(write_bundle(tmp_path_factory.mktemp("serve") / "bundle", parts).folder)


def pipeline_vectors(parts: Parts) -> np.ndarray:
    """Vectors of every query as the data set path gives them."""
    assert parts.model is not None
    with torch.inference_mode():
        vectors: np.ndarray = parts.model.towers.embed_queries(parts.dataset.last_queries(np.arange(parts.dataset.num_queries))).numpy()
    return vectors


def test_known_queries_have_the_vectors_of_the_data_set_path(retriever: Retriever, parts: Parts) -> None:
    ids = parts.dataset.query_ids.to_list()
    served = retriever.embed_queries([Query(query_id=identifier) for identifier in ids])
    assert served.dtype == np.float32
    np.testing.assert_allclose(served, pipeline_vectors(parts), atol=1e-6)


def test_items_have_the_vectors_of_the_pipeline(retriever: Retriever, parts: Parts) -> None:
    expected = np.load(parts.item_vectors)
    np.testing.assert_allclose(retriever.embed_items(retriever.bundle.items()), expected, atol=1e-6)
    some = [{"title": row["title"], "genres": row["genres"], "year": row["year"]} for row in retriever.bundle.items().to_dicts()[:5]]
    np.testing.assert_allclose(retriever.embed_items(some), expected[:5], atol=1e-6)


def test_search_gives_the_best_items_by_brute_force(retriever: Retriever, parts: Parts) -> None:
    vectors, items = pipeline_vectors(parts), np.load(parts.item_vectors)
    scores = vectors[3] @ items.T
    best = np.argsort(-scores, kind="stable")[:10]
    hits = retriever.search(query_id="3", k=10)
    assert [hit.rank for hit in hits] == list(range(1, 11))
    assert [hit.id for hit in hits] == [parts.dataset.item_ids[int(row)] for row in best]
    assert [hit.title for hit in hits] == [parts.dataset.display["title"][int(row)] for row in best]
    np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)


def test_one_by_one_and_together_agree(retriever: Retriever) -> None:
    queries = [Query(query_id="1"), Query(features={"age": 30}, history=["i1", "i2"]), Query(context={"device": "tv"})]
    together = retriever.search_many(queries, k=5)
    alone = [retriever.search_many([query], k=5)[0] for query in queries]
    assert [[hit.id for hit in hits] for hits in together] == [[hit.id for hit in hits] for hits in alone]
    assert retriever.search_many([], k=5) == []


def test_what_is_given_beside_an_id_replaces_the_record(retriever: Retriever) -> None:
    stored = retriever.bundle.queries.row(5, named=True)
    same, other = retriever.embed_queries([Query(query_id="5", history=stored["history"]), Query(query_id="5", history=["i0"])])
    np.testing.assert_allclose(same, retriever.embed_queries([Query(query_id="5")])[0], atol=1e-6)
    assert np.abs(other - same).max() > 1e-3
    spelt_out = Query(
        features={"id": "5", "age": stored["age"], "job": stored["job"]}, context={"device": stored["device"]}, history=stored["history"]
    )
    np.testing.assert_allclose(retriever.embed_queries([spelt_out])[0], same, atol=1e-6)


def test_left_out_items_do_not_come(retriever: Retriever, parts: Parts) -> None:
    every = [hit.id for hit in retriever.search(query_id="2", k=100)]
    assert sorted(every) == sorted(retriever.bundle.items("id")["id"])
    without = [hit.id for hit in retriever.search(query_id="2", k=5, exclude=[every[0], every[2], "unknown"])]
    assert without == [every[1], *every[3:7]]
    events = parts.dataset.events
    had = {parts.dataset.item_ids[int(row)] for row in events["item"][events["query"] == 2]}
    assert had > set(retriever.bundle.queries["history"][2]), "the premise: it had more than its history remembers"
    fresh = [hit.id for hit in retriever.search(query_id="2", k=36, exclude_seen=True)]
    assert fresh == [identifier for identifier in every if identifier not in had]
    told = [hit.id for hit in retriever.search(history=["i1", "i2"], k=40, exclude_seen=True)]
    assert sorted([*told, "i1", "i2"]) == sorted(every)


def test_a_model_without_histories_leaves_seen_items_out_too(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, replace(FULL, history=None))
    found = Retriever.load(write_bundle(tmp_path / "bundle", parts).folder)
    had = {parts.dataset.item_ids[int(row)] for row in parts.dataset.taken().row(2)}
    assert len(had) == 6
    assert had.isdisjoint(hit.id for hit in found.search(query_id="2", k=40, exclude_seen=True))


def test_a_ready_made_vector_is_searched_as_it_is(retriever: Retriever, parts: Parts) -> None:
    vector = np.load(parts.item_vectors)[7]
    assert retriever.search(vector=vector, k=1)[0].id == "i7"
    with pytest.raises(DataError, match="16 finite numbers"):
        retriever.search(vector=vector[:5])


def test_search_parameters_that_are_not_given_are_those_of_the_bundle(retriever: Retriever, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the index was saved with may be others."""
    asked = []
    search, manifest = retriever.index.search, retriever.bundle.manifest
    tuned = replace(manifest, index={**manifest.index, "search_params": {"nprobe": 7, "refine": 2}})
    monkeypatch.setattr(retriever, "bundle", replace(retriever.bundle, manifest=tuned))
    monkeypatch.setattr(retriever.index, "search", lambda queries, k, params, allowed: asked.append(params) or search(queries, k))
    for params in (None, {"refine": 4}, {"nprobe": 1, "refine": 0}):
        retriever.search(query_id="3", params=params)
    assert asked == [{"nprobe": 7, "refine": 2}, {"nprobe": 7, "refine": 4}, {"nprobe": 1, "refine": 0}]


def test_an_unknown_query_id_names_the_nearest_and_what_else_to_give(retriever: Retriever) -> None:
    with pytest.raises(
        DataError, match=r"'111' is not known .*nearest are '11'.*features=\{age, job, id\} and context=\{device\} and history="
    ):
        retriever.search(query_id="111")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (Query(), "an empty query"),
        (Query(text="sea"), "takes no query text"),
        (Query(features={"aeg": 3}), "'aeg' is not taken"),
        (Query(context={"age": 3}), "'age' is not taken"),
    ],
)
def test_what_the_model_does_not_take_is_refused(retriever: Retriever, query: Query, message: str) -> None:
    with pytest.raises(DataError, match=message):
        retriever.search_many([query])


def test_k_below_one_and_unknown_item_columns_are_refused(retriever: Retriever) -> None:
    with pytest.raises(DataError, match="k=0"):
        retriever.search(query_id="1", k=0)
    with pytest.raises(DataError, match="titel"):
        retriever.embed_items(pl.DataFrame({"titel": ["a"]}))


def test_three_lines_are_enough(retriever: Retriever) -> None:
    found = tt_hydra.load(retriever.bundle.folder)
    assert found.search(query_id="1", k=3) == retriever.search(query_id="1", k=3)


def test_latest_is_found_under_the_outputs(retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "latest").symlink_to(retriever.bundle.folder.parent)
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path))
    assert tt_hydra.load().bundle.folder == retriever.bundle.folder
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path / "elsewhere"))
    with pytest.raises(BundleError, match="no run has finished yet"):
        tt_hydra.load()


def test_serving_imports_no_trainer_and_the_package_is_cheap() -> None:
    code = "import sys, tt_hydra; assert 'torch' not in sys.modules; import tt_hydra.serve.retriever; "
    code += "bad = {'pytorch_lightning', 'hydra', 'omegaconf', 'tt_hydra.train'} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)
