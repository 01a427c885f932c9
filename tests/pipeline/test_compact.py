from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_parts import FULL, ITEMS, make_parts
from killed import SUPPORT
from tiny_bert import write_tiny_bert

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change, ChangeLog
from tt_hydra.artifact.registry import Registry
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.errors import BundleError, GateError
from tt_hydra.index.build import build_index
from tt_hydra.index.check import IndexSpec, Quantization
from tt_hydra.index.factory import Factory
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.contest import Contestant
from tt_hydra.pipeline.publish import Gate
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.serve.query import Query

OPEN = Gate(quality=1.0, recall=1.0, latency=1e6)
NEW = {"id": "new", "title": "another film about the sea", "genres": ["a", "c"], "year": 1987, "poster": "y"}
AGAIN = {"id": "i3", "title": "the third film, cut anew", "genres": [], "year": None, "poster": None}
GONE = ["i1", "i7", "Ü, 'q'"]


pytestmark = pytest.mark.usefixtures("few_calls")


def registry_of(folder: Path, parts: Parts) -> Registry:
    """A registry whose current version is a bundle of these parts, and whose log replaces one item, adds one, and deletes three."""
    registry = Registry(folder / "registry")
    registry.publish(write_bundle(folder / "bundle", parts))
    write_changes(registry)
    return registry


def write_changes(registry: Registry) -> None:
    changes = [
        Change(items=[NEW | {"title": "a first try"}, {"id": "soon gone", "title": "x"}]),
        Change(deleted=[*GONE, "soon gone"], items=[AGAIN]),
        Change(items=[NEW]),
    ]
    assert [each.seq for each in ChangeLog(registry.changes).append(changes)] == [1, 2, 3]


def served(registry: Registry, number: int) -> Contestant:
    version = registry.version(number)
    return Contestant.load(version.folder, ChangeLog(registry.changes).read(version.writes_through))


def answers(one: Contestant, queries: list[Query], k: int = 100) -> list[list[tuple[str, float]]]:
    found = one.search(one.retriever.embed_queries(queries), k)
    ids = [one.served.items.id_of(row) if row >= 0 else "" for row in found.rows.ravel().tolist()]
    return [
        [(each, score) for each, score in zip(ids[start : start + k], scores.tolist(), strict=True) if each]
        for start, scores in zip(range(0, len(ids), k), found.scores, strict=True)
    ]


def assert_same(one: list[list[tuple[str, float]]], other: list[list[tuple[str, float]]]) -> None:
    """The same items in the same order; scores up to the rounding of float32 sums."""
    assert len(one) == len(other) > 0
    for mine, theirs in zip(one, other, strict=True):
        assert [each for each, _ in mine] == [each for each, _ in theirs]
        np.testing.assert_allclose([score for _, score in mine], [score for _, score in theirs], atol=1e-5)


def known(bundle: Bundle, without: str) -> list[Query]:
    """The known queries whose history does not name an item."""
    frame = bundle.queries
    return [
        Query(query_id=identifier)
        for identifier, history in zip(frame["id"].to_list(), frame["history"].to_list(), strict=True)
        if without not in history
    ]


def test_it_answers_as_base_and_changes_did(tmp_path: Path, parts: Parts) -> None:
    registry = registry_of(tmp_path, parts)
    before = served(registry, 1)
    version = compact(registry, OPEN)
    assert (version.number, registry.current, registry.previous, version.writes_through) == (2, 2, 1, 3)
    after = served(registry, 2)
    queries = known(before.bundle, AGAIN["id"])
    assert any(set(GONE) & set(history) for history in before.bundle.queries["history"].to_list()), "the premise: somebody had them"
    assert 0 < len(queries) < 12
    assert_same(answers(after, queries), answers(before, queries))
    assert all(len(each) == ITEMS - len(GONE) + 1 for each in answers(after, queries))
    manifest = version.manifest
    assert manifest.num_items == ITEMS - len(GONE) + 1
    assert manifest.model_fingerprint == before.bundle.manifest.model_fingerprint
    assert manifest.index == before.bundle.manifest.index
    assert after.served.state.snapshot.health.delta == 0


def test_its_parts_are_in_step(tmp_path: Path, parts: Parts) -> None:
    registry = registry_of(tmp_path, parts)
    base = Bundle.load(registry.version(1).folder)
    bundle = Bundle.load(compact(registry, OPEN).folder)
    ids = bundle.items("id")["id"].to_list()
    left = [each for each in base.items("id")["id"].to_list() if each not in {*GONE, "i3"}]
    assert ids == [*left, "i3", "new"], "what is left in its order, then what was written, in the order of its last writing"
    assert bundle.items()[-1].to_dicts() == [NEW]
    assert bundle.items()[-2].to_dicts() == [AGAIN]
    assert bundle.items().schema == base.items().schema
    row_of_base = {each: row for row, each in enumerate(base.items("id")["id"].to_list())}
    np.testing.assert_array_equal(bundle.item_vectors[: len(left)], base.item_vectors[[row_of_base[each] for each in left]])
    from tt_hydra.serve.retriever import Retriever  # noqa: PLC0415

    np.testing.assert_allclose(bundle.item_vectors[-2:], Retriever.load(base.folder).embed_items([AGAIN, NEW]), atol=1e-6)
    for query in range(12):
        had = {base.items("id")["id"][int(row)] for row in base.taken.row(query)} - set(GONE)
        assert {ids[int(row)] for row in bundle.taken.row(query)} == had
    assert bundle.queries.equals(base.queries)


def test_its_catalogue_encodes_as_the_featurizer_does(tmp_path: Path, parts: Parts) -> None:
    registry = registry_of(tmp_path, parts)
    bundle = Bundle.load(compact(registry, OPEN).folder)
    towers, catalogue = bundle.load_towers(), bundle.load_catalogue()
    assert towers is not None
    rows = np.arange(bundle.manifest.num_items)
    expected = bundle.featurizer.encode_items(bundle.items().drop("poster"), towers.tokenizers["item"])
    found = catalogue.features(rows)
    assert found.values.keys() == expected.values.keys()
    for name, value in expected.values.items():
        for one, other in ((value, found.values[name]),):
            pairs = ((one.ids, other.ids), (one.mask, other.mask)) if hasattr(one, "mask") else ((one, other),)
            assert all(bool((a == b).all()) for a, b in pairs), name
    behind = catalogue.ids.to_list()[len(rows) :]
    named = {each for history in bundle.queries["history"].to_list() for each in history}
    assert set(behind) <= set(GONE)
    assert set(behind) >= set(GONE) & named


def test_its_reference_and_figures_are_measured_again(tmp_path: Path, parts: Parts) -> None:
    registry = registry_of(tmp_path, parts)
    version = compact(registry, OPEN)
    bundle = Bundle.load(version.folder)
    questions, reference = bundle.questions, bundle.reference
    assert questions is not None
    assert reference is not None
    ids = bundle.items("id")["id"].to_list()
    assert all(each in ids for lists in (questions.relevant, questions.exclude) for found in lists.to_list() for each in found)
    best = -np.sort(-(reference.queries @ bundle.item_vectors.T), axis=1)[:, :10]
    np.testing.assert_allclose(reference.scores, best, atol=1e-5)
    recalls = []
    for vector, relevant, seen in zip(reference.queries, questions.relevant.to_list(), questions.exclude.to_list(), strict=True):
        order = [ids[row] for row in np.argsort(-(bundle.item_vectors @ vector), kind="stable") if ids[row] not in seen][:10]
        recalls += [len(set(order) & set(relevant)) / len(relevant)] if relevant else []
    measured = version.manifest.measured
    assert measured["valid/index/recall@10"] == pytest.approx(np.mean(recalls))
    assert measured["valid/ann/recall@10"] == 1
    assert not any(name.startswith("test/") for name in measured)
    files = [path for path in (version.folder / "index").iterdir() if path.name != "built_from.json"]
    assert measured["index/bytes_total"] == sum(path.stat().st_size for path in files)
    assert version.manifest.conditions["questions"] == 12


def test_texts_that_histories_read_move_along(tmp_path: Path) -> None:
    from tt_hydra.tower.bert import Bert  # noqa: PLC0415

    (tmp_path / "bert").mkdir()
    tower = Bert(model=str(write_tiny_bert(tmp_path / "bert")), query_max_length=16, item_max_length=16)
    parts = make_parts(tmp_path / "parts", FULL, tower=tower)
    registry = registry_of(tmp_path, parts)
    before = served(registry, 1)
    assert (before.bundle.folder / "item_text.npy").exists(), "the premise: histories read cached texts"
    compact(registry, OPEN)
    after = served(registry, 2)
    queries = known(before.bundle, AGAIN["id"])
    assert_same(answers(after, queries), answers(before, queries))
    text = after.retriever.item_text
    assert text is not None
    assert len(text) == len(after.bundle.load_catalogue().ids) > after.bundle.manifest.num_items
    np.testing.assert_allclose(text[after.bundle.manifest.num_items - 1], after.retriever.embed_item_texts([NEW])[0], atol=1e-5)


def test_lists_are_built_anew_where_fewer_items_are_left(tmp_path: Path, parts: Parts) -> None:
    vectors = np.load(parts.item_vectors)
    (tmp_path / "index").mkdir()
    build_index(Ivf(nlist=30, nprobe=30), NoQuantization(), vectors, "cosine").save(tmp_path / "index")
    registry = Registry(tmp_path / "registry")
    registry.publish(write_bundle(tmp_path / "bundle", replace(parts, index=tmp_path / "index")))
    ids = Bundle.load(registry.version(1).folder).items("id")["id"].to_list()
    ChangeLog(registry.changes).append([Change(deleted=ids[5:])])
    version = compact(registry, OPEN)
    assert (version.manifest.num_items, version.manifest.index["index"]["nlist"]) == (5, 5)
    ChangeLog(registry.changes).append([Change(deleted=ids[:5])])
    with pytest.raises(BundleError, match="every item of the catalogue is deleted"):
        compact(registry, OPEN)
    assert registry.current == 2


def test_visited_lists_follow_the_number_of_lists_where_the_catalogue_chooses_it(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 items make 10 lists of 4, all visited where 20 were asked for; 9 items make 2, and 88 make 22."""
    monkeypatch.setattr("tt_hydra.index.ivf.POINTS_PER_LIST", 4)
    (tmp_path / "index").mkdir()
    build_index(Ivf(nprobe=20), NoQuantization(), np.load(parts.item_vectors), "cosine").save(tmp_path / "index")
    registry = Registry(tmp_path / "registry")
    registry.publish(write_bundle(tmp_path / "bundle", replace(parts, index=tmp_path / "index")))
    ids = Bundle.load(registry.version(1).folder).items("id")["id"].to_list()
    log = ChangeLog(registry.changes)
    assert visited(registry, 1) == (10, 10, 20)
    log.append([Change(deleted=ids[9:])])
    assert visited(registry, compact(registry, OPEN).number) == (2, 2, 20)
    log.append([Change(items=[{"id": f"more {number}", "title": f"film {number}"} for number in range(79)])])
    assert visited(registry, compact(registry, OPEN).number) == (20, 20, 20)


def visited(registry: Registry, number: int) -> tuple[int, int, int]:
    """Lists that a version's manifest has searches visit, that its index does by itself, and that were asked for."""
    version = registry.version(number)
    return (
        version.manifest.search_params["nprobe"],
        Bundle.load(version.folder).load_index().search_params["nprobe"],
        version.manifest.index["index"]["nprobe"],
    )


@pytest.mark.parametrize(("left", "nprobe"), [(40, 7), (9, 2)])
def test_visited_lists_that_a_bundle_was_tuned_to_stay_as_far_as_there_are_lists(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch, left: int, nprobe: int
) -> None:
    monkeypatch.setattr("tt_hydra.index.ivf.POINTS_PER_LIST", 4)
    (tmp_path / "index").mkdir()
    build_index(Ivf(), NoQuantization(), np.load(parts.item_vectors), "cosine").save(tmp_path / "index")
    registry = Registry(tmp_path / "registry")
    registry.publish(write_bundle(tmp_path / "bundle", replace(parts, index=tmp_path / "index", search_params={"nprobe": 7})))
    ids = Bundle.load(registry.version(1).folder).items("id")["id"].to_list()
    ChangeLog(registry.changes).append([Change(deleted=ids[left:], items=[AGAIN])])
    assert compact(registry, OPEN).manifest.search_params == {"nprobe": nprobe}


def test_twice_and_on_top_of_itself(tmp_path: Path, parts: Parts) -> None:
    registry = registry_of(tmp_path, parts)
    compact(registry, OPEN)
    assert compact(registry, OPEN).number == 2, "there is nothing to do"
    ChangeLog(registry.changes).append(
        [Change(items=[{"id": "i1", "title": "film 1 about sea", "genres": ["a"], "year": 1951}], deleted=["new"])]
    )
    before = served(registry, 2)
    version = compact(registry, OPEN)
    assert (version.number, version.writes_through) == (3, 4)
    bundle = Bundle.load(version.folder)
    assert "i1" in bundle.items("id")["id"].to_list()
    assert "new" not in bundle.items("id")["id"].to_list()
    queries = known(bundle, "i1")
    assert_same(answers(served(registry, 3), queries), answers(before, queries))
    assert not (registry.folder / ".work").exists()


def test_ready_made_vectors_are_compacted_too(tmp_path: Path, parts: Parts) -> None:
    folder = tmp_path / "dataset"
    import shutil  # noqa: PLC0415

    shutil.copytree(parts.dataset.folder, folder)
    np.save(folder / "query_vectors.npy", np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32))
    given = replace(parts, model=None, dataset=type(parts.dataset).load(folder), reference=None)
    registry = Registry(tmp_path / "registry")
    bundle = write_bundle(tmp_path / "bundle", given)
    registry.publish(bundle)
    vector = np.full((1, 16), 0.5, np.float32)
    change = Change(items=[{"id": "new"}], deleted=["i0"], vectors=vector, model=bundle.manifest.model_fingerprint)
    ChangeLog(registry.changes).append([change])
    before = served(registry, 1)
    compact(registry, OPEN)
    queries = [Query(query_id=str(number)) for number in range(12)]
    assert_same(answers(served(registry, 2), queries), answers(before, queries))
    np.testing.assert_array_equal(Bundle.load(registry.version(2).folder).item_vectors[-1], vector[0])


def test_a_new_version_meanwhile_wins(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_of(tmp_path, parts)
    newer = write_bundle(tmp_path / "newer", replace(parts, measured={"x": 1.0}))
    from tt_hydra.pipeline import compact as module  # noqa: PLC0415

    real = module.build

    def build(*arguments: Any) -> Bundle:
        registry.publish(newer)
        return real(*arguments)

    monkeypatch.setattr(module, "build", build)
    with pytest.raises(GateError, match="version 2 became current"):
        compact(registry, OPEN)
    assert (registry.current, len(registry.versions())) == (2, 2)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
from killed import killed_at
from tt_hydra.artifact import bundle, files, registry as registry_module, renew
from tt_hydra.artifact.registry import Registry
from tt_hydra.pipeline import contest
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.publish import Gate
contest.CALLS = 5
killed_at({owner}, {name!r}, {call})
compact(Registry(Path({folder!r})), Gate(quality=1.0, recall=1.0, latency=1e6))
"""


@pytest.mark.parametrize(
    ("owner", "name", "call", "current"),
    [
        ("renew", "save_reference", 1, 1),
        ("registry_module", "publish", 1, 1),
        ("Registry", "_point", 1, 1),
        ("registry_module", "sync", 2, 2),
    ],
)
def test_a_kill_leaves_the_old_version_or_the_new_one(tmp_path: Path, parts: Parts, owner: str, name: str, call: int, current: int) -> None:
    registry = registry_of(tmp_path, parts)
    code = KILLED.format(support=SUPPORT, owner=owner, name=name, call=call, folder=str(registry.folder))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert registry.current == current
    for version in registry.versions():
        Bundle.load(version.folder)
    queries = [Query(query_id="3")]
    expected = answers(served(registry, 1), queries)
    assert [each for each, _ in answers(served(registry, current), queries)[0]] == [each for each, _ in expected[0]]
    assert compact(registry, OPEN).writes_through == 3
    assert json.loads((registry.version(registry.current or 0).folder / "manifest.json").read_text())["num_items"] == ITEMS - len(GONE) + 1


@pytest.mark.parametrize(
    ("spec", "quantization", "prefix_dim"),
    [
        (Hnsw(M=8, efConstruction=40, efSearch=64), Int8(), None),
        (Ivf(nlist=4, nprobe=2), NoQuantization(), None),
        (Flat(), NoQuantization(), 8),
        (Factory(spec="IVF2,Flat"), NoQuantization(), None),
    ],
    ids=["hnsw", "ivf", "prefix", "factory"],
)
def test_every_kind_of_index_is_built_again_as_it_was(
    tmp_path: Path, parts: Parts, spec: IndexSpec, quantization: Quantization, prefix_dim: int | None
) -> None:
    (tmp_path / "index").mkdir()
    build_index(spec, quantization, np.load(parts.item_vectors), "cosine", prefix_dim=prefix_dim).save(tmp_path / "index")
    registry = registry_of(tmp_path, replace(parts, index=tmp_path / "index", search_params={"nprobe": 1} if isinstance(spec, Ivf) else {}))
    before, version = served(registry, 1), compact(registry, OPEN)
    assert version.manifest.index == before.bundle.manifest.index
    after = served(registry, 2)
    assert getattr(after.retriever.index, "prefix_dim", None) == prefix_dim
    queries = known(before.bundle, AGAIN["id"])
    vectors = after.retriever.embed_queries(queries)
    lists = []
    for one in (after, before):
        rows = one.served.state.snapshot.exact(vectors, 100).rows
        lists.append([[one.served.items.id_of(row) for row in each if row >= 0] for each in rows.tolist()])
    assert lists[0] == lists[1]
    assert all(len(each) == ITEMS - len(GONE) + 1 for each in lists[0])


def test_statistics_stay_with_what_is_left(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, make_parts(tmp_path / "parts", replace(FULL, statistics=("count",))))
    before = served(registry, 1)
    compact(registry, OPEN)
    after = served(registry, 2)
    old, new = before.bundle.load_catalogue(), after.bundle.load_catalogue()
    counts = dict(zip(old.ids.to_list(), old.standing["test"][:, 0].tolist(), strict=True)) | {"i3": 0.0, "new": 0.0}
    assert new.standing["test"][:, 0].tolist() == [counts[each] for each in new.ids.to_list()]
    assert any(counts.values()), "the premise: items were taken"
    queries = known(before.bundle, AGAIN["id"])
    assert_same(answers(after, queries), answers(before, queries))
