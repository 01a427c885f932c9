from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from bundle_parts import ITEMS, make_parts
from killed import SUPPORT

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change, ChangeLog
from tt_hydra.artifact.keys import fingerprint
from tt_hydra.artifact.registry import Registry, Version
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.data.dataset import Dataset
from tt_hydra.errors import BundleError, ConfigError, GateError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.pipeline import contest
from tt_hydra.pipeline import upgrade as module
from tt_hydra.pipeline.compact import compact
from tt_hydra.pipeline.contest import Contestant
from tt_hydra.pipeline.publish import Gate, ensure, publish
from tt_hydra.pipeline.stage.reference import asked
from tt_hydra.pipeline.turn import turn_between
from tt_hydra.pipeline.upgrade import upgrade
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever

OPEN = Gate(quality=1.0, recall=1.0, latency=1e6)
NEW = {"id": "new", "title": "another film about the sea", "genres": ["a", "c"], "year": 1987}
AGAIN = {"id": "i3", "title": "the third film, cut anew", "genres": [], "year": None}
GONE = ["i1", "i7"]
KNOWN = [Query(query_id=str(number)) for number in range(12)]


pytestmark = pytest.mark.usefixtures("few_calls")


@pytest.fixture
def registry(tmp_path: Path, parts: Parts) -> Registry:
    registry = Registry(tmp_path / "registry")
    registry.publish(write_bundle(tmp_path / "old", parts))
    model = registry.versions()[0].manifest.model_fingerprint
    vectors = Retriever.load(registry.version(1).folder).embed_items([NEW, AGAIN])
    ChangeLog(registry.changes).append([Change(deleted=GONE, items=[NEW, AGAIN], vectors=vectors, model=model)])
    return registry


@pytest.fixture(scope="module")
def turned(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of the same towers, whose last layers turn every vector by one rotation: another model with the same answers."""
    folder = tmp_path_factory.mktemp("turned")
    own = make_parts(folder)
    assert own.model is not None
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(3)))[0]
    towers, dataset = own.model.towers, own.dataset
    with torch.no_grad():
        for side in ("query", "item"):
            linear = towers.towers[side].projection.linear
            linear.weight.copy_(rotation.T @ linear.weight)
            linear.bias.copy_(rotation.T @ linear.bias)
        items = towers.embed_items(dataset.items(np.arange(ITEMS))).numpy()
        queries = towers.embed_queries(dataset.queries("valid", np.arange(12))).numpy()
    np.testing.assert_allclose(items, np.load(parts.item_vectors) @ rotation.numpy(), atol=1e-5)
    np.save(folder / "turned.npy", items)
    (folder / "turned").mkdir()
    index = build_index(Flat(), NoQuantization(), items, "cosine")
    index.save(folder / "turned")
    reference = asked(dataset, queries, index, exclude_seen=True)
    return write_bundle(folder / "bundle", replace(own, item_vectors=folder / "turned.npy", index=folder / "turned", reference=reference))


def served(registry: Registry, number: int) -> Contestant:
    version = registry.version(number)
    return Contestant.load(version.folder, ChangeLog(registry.changes).read(version.writes_through))


def ids(one: Contestant, queries: Sequence[Query] = KNOWN, k: int = 100) -> list[list[str]]:
    found = one.search(one.retriever.embed_queries(queries), k)
    return [[one.served.items.id_of(row) for row in rows.tolist() if row >= 0] for rows in found.rows]


def test_the_catalogue_as_it_is_is_embedded_by_the_new_model(registry: Registry, other: Bundle) -> None:
    version = upgrade(registry, other, OPEN)
    assert (version.number, registry.current, registry.previous, version.writes_through) == (2, 2, 1, 1)
    bundle, model = Bundle.load(version.folder), Retriever.load(other.folder)
    assert version.manifest.model_fingerprint == other.manifest.model_fingerprint
    held = bundle.items("id")["id"].to_list()
    own = other.items("id")["id"].to_list()
    assert held == [*(each for each in own if each not in {*GONE, "i3"}), "new", "i3"]
    expected = np.concatenate([other.item_vectors[[own.index(each) for each in held[:-2]]], model.embed_items([NEW, AGAIN])])
    np.testing.assert_allclose(bundle.item_vectors, expected, atol=1e-6)
    one = served(registry, 2)
    queries = one.retriever.embed_queries(KNOWN)
    assert ids(one) == [[held[row] for row in np.argsort(-(expected @ query), kind="stable")] for query in queries]
    assert bundle.items()[-2].to_dicts() == [NEW | {"poster": None}]
    for query in range(12):
        had = {own[int(row)] for row in other.taken.row(query)} - set(GONE)
        assert {held[int(row)] for row in bundle.taken.row(query)} == had


def test_a_bundle_whose_towers_took_over_is_there(registry: Registry, other: Bundle) -> None:
    assert upgrade(registry, other, OPEN).number == ensure(registry, other, OPEN).number == 2


def test_a_published_model_serves_its_own_catalogue_with_the_changes_by_its_own_tower(registry: Registry, other: Bundle) -> None:
    assert publish(registry, other, OPEN).number == 2
    one = served(registry, 2)
    vectors = one.served.state.snapshot.take(np.array([ITEMS, ITEMS + 1]))
    np.testing.assert_allclose(vectors, Retriever.load(other.folder).embed_items([NEW, AGAIN]), atol=1e-6)
    assert compact(registry, OPEN).writes_through == 1


def test_what_is_written_meanwhile_is_not_lost(registry: Registry, other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real, log = module.build, ChangeLog(registry.changes)

    def build(*arguments: Any) -> Bundle:
        log.append([Change(items=[{"id": "late", "title": "war"}])])
        return real(*arguments)

    monkeypatch.setattr(module, "build", build)
    assert upgrade(registry, other, OPEN).writes_through == 1
    assert all("late" in each for each in ids(served(registry, 2)))
    assert all("late" in each for each in ids(served(registry, 1))), "going back loses nothing either"


def test_columns_that_only_the_new_model_has_come_from_its_own_items(tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "more"
    parts = make_parts(folder, seed=2)
    raw = parts.dataset.folder / "items" / "raw.parquet"
    pl.read_parquet(raw).with_columns(pl.lit("seen").alias("note")).write_parquet(raw)
    bundle = Bundle.load(upgrade(registry, write_bundle(tmp_path / "new", parts), OPEN).folder)
    notes = dict(zip(bundle.items("id")["id"].to_list(), bundle.items("note")["note"].to_list(), strict=True))
    assert (notes["i0"], notes["i3"], notes["new"]) == ("seen", "seen", None)


def test_the_bridge_of_a_rotation_is_exact(registry: Registry, turned: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = module.build, {}

    def build(*arguments: Any) -> Bundle:
        number = registry.current
        assert number == 2, "the bridge is served while the index is built"
        seen["version"], seen["ids"] = registry.version(number), ids(served(registry, number))
        return real(*arguments)

    monkeypatch.setattr(module, "build", build)
    before = served(registry, 1)
    old = before.bundle.manifest.model_fingerprint
    expected = ids(before)
    final = upgrade(registry, turned, OPEN, bridge=True)
    assert (final.number, registry.current, registry.previous) == (3, 3, 2)
    assert seen["ids"] == expected
    named = seen["version"].manifest.conditions["bridge"]
    assert (named["query"], named["item"]) == (turned.manifest.model_fingerprint, old)
    assert named["recall@10"] == pytest.approx(named["replaced/recall@10"])
    assert named["questions"] == 12
    bundle = Bundle.load(seen["version"].folder)
    assert bundle.bridge is not None
    assert bundle.manifest.model_fingerprint == old, "items that are added meanwhile are embedded by the old item tower"
    np.testing.assert_allclose(Retriever.load(bundle.folder).embed_items([NEW]), before.retriever.embed_items([NEW]), atol=1e-6)
    reference = bundle.reference
    assert reference is not None
    assert before.bundle.reference is not None
    found = reference.queries @ before.bundle.item_vectors.T
    np.testing.assert_allclose(found, before.bundle.reference.queries @ before.bundle.item_vectors.T, atol=1e-4)
    assert final.manifest.model_fingerprint == turned.manifest.model_fingerprint
    assert "bridge" not in final.manifest.conditions


def bridged(registry: Registry, model: Bundle, monkeypatch: pytest.MonkeyPatch) -> Version:
    """An upgrade that is interrupted while its bridge is served."""

    def build(*_: Any) -> Bundle:
        raise BundleError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(module, "build", build)
        with pytest.raises(BundleError, match="interrupted"):
            upgrade(registry, model, OPEN, bridge=True)
    assert registry.current is not None
    return registry.version(registry.current)


def test_a_bridge_between_strangers_says_how_much_it_loses(registry: Registry, other: Bundle) -> None:
    version = upgrade(registry, other, replace(OPEN, quality=0.0), bridge=True, force=True)
    assert version.manifest.model_fingerprint == other.manifest.model_fingerprint
    bridge = registry.version(2)
    named, questions = bridge.manifest.conditions["bridge"], other.questions
    assert questions is not None
    changes = ChangeLog(registry.changes).read(0)
    pair = [Contestant.load(folder, changes) for folder in (bridge.folder, registry.version(1).folder)]
    assert [named["recall@10"], named["replaced/recall@10"]] == pytest.approx(contest.Contest.among(pair, questions).quality())


def test_an_interrupted_upgrade_goes_on(registry: Registry, turned: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge = bridged(registry, turned, monkeypatch)
    assert (bridge.number, bridge.manifest.conditions["bridge"]["query"]) == (2, turned.manifest.model_fingerprint)
    with pytest.raises(BundleError, match="is a bridge from one model to another and is not built anew"):
        compact(registry, OPEN)
    final = upgrade(registry, turned, OPEN, bridge=True)
    assert (final.number, final.manifest.model_fingerprint) == (3, turned.manifest.model_fingerprint)
    assert "new" in ids(served(registry, 3))[0]
    assert registry.rollback().number == 2


def test_a_bridge_does_not_take_the_place_of_a_version_that_became_current_meanwhile(
    registry: Registry, turned: Bundle, other: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody publishes another model while the map is learnt; the bridge leads to the version before."""

    def late(*given: Any) -> np.ndarray:
        registry.publish(other)
        return turn_between(*given)

    monkeypatch.setattr(module, "turn_between", late)
    with pytest.raises(GateError, match="version 2 became current"):
        upgrade(registry, turned, OPEN, bridge=True)
    assert (registry.current, len(registry.versions())) == (2, 2)


def rewritten(folder: Path, **changes: object) -> None:
    """Edits the manifest as somebody would who also mends its checksum."""
    content = json.loads((folder / "manifest.json").read_text())
    content.pop("checksum")
    content |= changes
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(json.dumps({**content, "checksum": fingerprint(content)}))


def test_a_bridge_that_does_not_end_at_the_index_is_refused(registry: Registry, turned: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bridged(registry, turned, monkeypatch).folder
    good = json.loads((folder / "manifest.json").read_text())["conditions"]
    rewritten(folder, conditions={**good, "bridge": {**good["bridge"], "query": "f" * 32}})
    with pytest.raises(BundleError, match=r"bridge/bridge\.json is a bridge from model .* the manifest names one from f+ to "):
        Bundle.load(folder)
    rewritten(folder, conditions={name: value for name, value in good.items() if name != "bridge"})
    with pytest.raises(BundleError, match=r"names one from None to None.*unless a bridge names both"):
        Bundle.load(folder)
    rewritten(folder, conditions=good)
    Bundle.load(folder)
    path = folder / "bridge" / "map.npy"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"bridge/map\.npy is damaged"):
        Bundle.load(folder)


def test_models_that_do_not_fit_are_refused(tmp_path: Path, registry: Registry, parts: Parts) -> None:
    with pytest.raises(ConfigError, match="has the model of the current version already"):
        upgrade(registry, Bundle.load(registry.version(1).folder), OPEN)
    shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    np.save(tmp_path / "dataset" / "query_vectors.npy", np.zeros((12, 16), np.float32))
    given = replace(parts, model=None, reference=None, dataset=Dataset.load(tmp_path / "dataset"))
    with pytest.raises(ConfigError, match="has no towers of its own"):
        upgrade(registry, write_bundle(tmp_path / "given", given), OPEN)
    with pytest.raises(BundleError, match="has no current version"):
        upgrade(Registry(tmp_path / "empty"), Bundle.load(registry.version(1).folder), OPEN)


def test_the_gate_keeps_a_worse_model_out(registry: Registry, other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest.Contest, "quality", lambda _: [0.25, 0.5])
    with pytest.raises(GateError, match=r"its quality recall@10 is 0.25, version 1 has 0.5, and gate.quality=0.1 allows 0.4"):
        upgrade(registry, other, replace(OPEN, quality=0.1))
    with pytest.raises(GateError, match=r"version 1 has 0\.5"):
        upgrade(registry, other, replace(OPEN, quality=0.1), bridge=True)
    assert (registry.current, len(registry.versions())) == (1, 1), "neither the bridge nor the model"
    assert not (registry.folder / ".work").exists()


def test_the_turn_is_the_nearest_rotation() -> None:
    random = np.random.default_rng(0)
    source = random.normal(size=(200, 6)).astype(np.float32)
    rotation = np.linalg.qr(random.normal(size=(8, 8)))[0][:6]
    target = (source @ rotation).astype(np.float32)[::-1].copy()
    rows = np.arange(200)
    found = turn_between(source, target, (rows, rows[::-1]), ("dot", "dot"))
    np.testing.assert_allclose(found, rotation, atol=1e-5)
    np.testing.assert_allclose(found @ found.T, np.eye(6), atol=1e-5)
    noisy = (target + random.normal(size=target.shape) / 10).astype(np.float32)
    best = turn_between(source, noisy, (rows, rows[::-1]), ("dot", "dot"))
    residual = np.linalg.norm(source @ best - noisy[::-1])
    for _ in range(20):
        nudge = np.linalg.qr(np.eye(8) + random.normal(size=(8, 8)) / 50)[0]
        nudge *= np.sign(np.diag(nudge))
        assert np.linalg.norm(source @ best @ nudge - noisy[::-1]) > residual


@pytest.mark.parametrize(
    ("width", "dim", "count", "metrics", "told"),
    [
        (8, 6, 100, ("dot", "dot"), "the new model has 8 dimensions, the index only 6"),
        (6, 8, 7, ("dot", "dot"), "learnt from at least 8 items, and both models share 7"),
        (6, 8, 100, ("dot", "cosine"), "the new model's metric is dot, the index's is cosine"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(width: int, dim: int, count: int, metrics: Any, told: str) -> None:
    source, target, rows = np.ones((100, width), np.float32), np.ones((100, dim), np.float32), np.arange(count)
    with pytest.raises(ConfigError, match=told):
        turn_between(source, target, (rows, rows), metrics)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
from killed import killed_at
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry
from tt_hydra.pipeline import contest
from tt_hydra.pipeline.publish import Gate
from tt_hydra.pipeline.upgrade import upgrade
contest.CALLS = 5
killed_at(Registry, "_point", {call})
upgrade(Registry(Path({folder!r})), Bundle.load({model!r}), Gate(quality=1.0, recall=1.0, latency=1e6), bridge=True)
"""


@pytest.mark.parametrize(("call", "current"), [(1, 1), (2, 2)])
def test_a_kill_leaves_the_old_version_or_the_bridge(registry: Registry, turned: Bundle, call: int, current: int) -> None:
    code = KILLED.format(support=SUPPORT, call=call, folder=str(registry.folder), model=str(turned.folder))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert registry.current == current
    expected = ids(served(registry, 1))
    assert ids(served(registry, current)) == expected
    assert upgrade(registry, turned, OPEN, bridge=True).manifest.model_fingerprint == turned.manifest.model_fingerprint
    for version in registry.versions():
        Bundle.load(version.folder)
