from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from bundle_parts import make_parts

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.manifest import MANIFEST, Manifest
from tt_hydra.artifact.registry import WRITES_THROUGH, Registry
from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.artifact.write import write_bundle
from tt_hydra.errors import BundleError


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    root = tmp_path_factory.mktemp("bundles")
    (root / "parts").mkdir()
    parts = make_parts(root / "parts")
    return [write_bundle(root / str(number), replace(parts, measured={"test/model/recall@10": number / 10})) for number in range(3)]


def test_versions_are_numbered_and_the_newest_is_current(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path / "registry")
    assert (registry.current, registry.previous, registry.versions()) == (None, None, [])
    numbers = [registry.publish(bundle).number for bundle in bundles]
    assert numbers == [1, 2, 3]
    assert (registry.current, registry.previous) == (3, 2)
    assert [version.manifest.measured for version in registry.versions()] == [bundle.manifest.measured for bundle in bundles]
    current = Bundle.load(resolve_bundle("current", tmp_path))
    assert current.manifest == bundles[2].manifest


def test_the_same_bundle_keeps_its_number(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path)
    for bundle in (bundles[0], bundles[1], bundles[0]):
        version = registry.publish(bundle)
    assert version.number == 1
    assert (registry.current, registry.previous, len(registry.versions())) == (1, 2, 2)


def test_a_version_outlives_the_run_that_made_it(tmp_path: Path, bundles: list[Bundle]) -> None:
    copy = Bundle.load(shutil.copytree(bundles[0].folder, tmp_path / "run"))
    version = Registry(tmp_path / "registry").publish(copy)
    shutil.rmtree(copy.folder)
    assert Bundle.load(version.folder).load_index().size == bundles[0].manifest.num_items


def test_activate_and_roll_back(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(BundleError, match="no version was current before"):
        registry.rollback()
    for bundle in bundles:
        registry.publish(bundle, activate=False)
    assert registry.current is None
    registry.activate(2)
    registry.activate(3)
    assert registry.rollback().number == 2
    assert (registry.current, registry.previous) == (2, 3)
    assert registry.rollback().number == 3
    with pytest.raises(BundleError, match=r"has no version 9; it has 1, 2, 3"):
        registry.activate(9)


def test_a_damaged_version_is_not_activated(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path)
    registry.publish(bundles[0])
    damaged = registry.publish(bundles[1], activate=False).folder / "featurizer.json"
    text = damaged.read_text()
    damaged.unlink()  # a link: the bundle that it came from stays whole
    damaged.write_text(" " + text[1:])
    with pytest.raises(BundleError, match="is damaged"):
        registry.activate(2)
    assert registry.current == 1


def test_retention_spares_current_and_previous(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path)
    for bundle in bundles:
        registry.publish(bundle, activate=False)
    registry.activate(1)
    assert list(registry.retain(1)) == [2]
    assert [version.number for version in registry.versions()] == [1, 3]
    assert registry.publish(bundles[1], activate=False).number == 4


def through(bundle: Bundle, folder: Path, change: int) -> Bundle:
    """A copy of a bundle that contains the changes up to a number."""
    shutil.copytree(bundle.folder, folder)
    (folder / MANIFEST).unlink()
    replace(bundle.manifest, conditions={**bundle.manifest.conditions, WRITES_THROUGH: change}).save(folder)
    return Bundle.load(folder)


@pytest.fixture
def damaged(tmp_path: Path, bundles: list[Bundle]) -> Registry:
    """Of three versions the second, which is neither current nor previous and contains no change, has a damaged manifest."""
    registry = Registry(tmp_path / "registry")
    registry.log.append([Change(deleted=["i1"]), Change(deleted=["i2"])])
    for number, bundle in enumerate(bundles, start=1):
        registry.publish(bundle if number == 2 else through(bundle, tmp_path / str(number), 2))
    registry.activate(1)
    damage(registry, 2)
    return registry


def damage(registry: Registry, number: int) -> None:
    manifest = registry.folder / "versions" / str(number) / MANIFEST
    manifest.unlink()  # a link: the bundle that it came from stays whole
    manifest.write_text("{}")


def test_a_damaged_version_that_is_not_served_is_named_and_left_out(damaged: Registry, caplog: pytest.LogCaptureFixture) -> None:
    assert (damaged.running("").number, damaged.version(3).number, damaged.log.last) == (1, 3, 2)
    assert [version.number for version in damaged.versions()] == [1, 3]
    assert damaged.rollback().number == 3
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith("version 2 is left out: ")
    assert str(damaged.folder / "versions" / "2" / MANIFEST) in told
    with pytest.raises(BundleError, match=r"versions/2/manifest\.json is damaged"):
        damaged.version(2)
    with pytest.raises(BundleError, match=r"has no version 4; it has 1, 3"):
        damaged.version(4)


@pytest.mark.parametrize("served", [1, 3])
def test_a_damaged_version_that_is_served_leaves_the_way_back_open(damaged: Registry, served: int) -> None:
    other = 4 - served
    damaged.activate(served)
    damage(damaged, served)
    with pytest.raises(BundleError, match=rf"versions/{served}/manifest\.json is damaged"):
        damaged.running("")
    assert damaged.rollback().number == other
    assert (damaged.running("").number, damaged.previous) == (other, served)


def test_the_number_of_a_damaged_version_is_not_given_again(damaged: Registry, bundles: list[Bundle]) -> None:
    assert damaged.publish(bundles[1], activate=False).number == 4
    (damaged.folder / "versions" / "4" / MANIFEST).unlink()
    assert damaged.publish(bundles[2], activate=False).number == 5
    assert [version.number for version in damaged.versions()] == [1, 3, 5]


def test_retention_leaves_a_damaged_version_and_the_changes_that_it_lacks(damaged: Registry, bundles: list[Bundle], tmp_path: Path) -> None:
    damaged.publish(through(bundles[1], tmp_path / "fourth", 2))
    assert (damaged.current, damaged.previous) == (4, 1)
    assert list(damaged.retain(1)) == [3]
    assert sorted(path.name for path in (damaged.folder / "versions").iterdir()) == ["1", "2", "4"]
    assert [change.seq for change in damaged.log.read(0)] == [1, 2], "its folder may come back from a backup"
    shutil.rmtree(damaged.folder / "versions" / "2")
    damaged.retain(1)
    with pytest.raises(BundleError, match="change 1 was pruned"):
        damaged.log.read(0)


def test_readers_find_a_version_whatever_moves_while_they_follow_the_links(
    tmp_path: Path, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process activates a version after each of the first two looks at ``active``."""
    registry, other, numbers, read = Registry(tmp_path), Registry(tmp_path), [1, 3], os.readlink
    for bundle in bundles:
        registry.publish(bundle)

    def readlink(path: str | Path) -> str:
        target = read(path)
        if Path(path).name == "active" and numbers:
            number = numbers.pop()
            monkeypatch.setattr(os, "readlink", read)
            other.activate(number)
            monkeypatch.setattr(os, "readlink", readlink)
        return target

    registry.activate(2)
    monkeypatch.setattr(os, "readlink", readlink)
    assert registry.current == 1
    assert numbers == []


def test_a_version_that_another_process_removes_meanwhile_is_none(
    tmp_path: Path, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, load = Registry(tmp_path), Manifest.load
    for bundle in bundles:
        registry.publish(bundle)

    def late(folder: Path) -> Manifest:
        monkeypatch.setattr(Manifest, "load", load)
        Registry(tmp_path).retain(1)
        return load(folder)

    monkeypatch.setattr(Manifest, "load", late)
    assert [version.number for version in registry.versions()] == [2, 3]


def _swap_for_ever(folder: Path) -> None:
    registry = Registry(folder)
    while True:
        registry.activate(1)
        registry.activate(2)


def test_kill_leaves_the_old_version_or_the_new_one(tmp_path: Path, bundles: list[Bundle]) -> None:
    registry = Registry(tmp_path)
    registry.publish(bundles[0])
    registry.publish(bundles[1])
    chance = random.Random(0)
    for _ in range(5):
        process = multiprocessing.get_context("spawn").Process(target=_swap_for_ever, args=(tmp_path,))
        process.start()
        before = os.readlink(tmp_path / "active")
        while os.readlink(tmp_path / "active") == before:
            time.sleep(0.01)
        time.sleep(chance.random() / 20)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert {registry.current, registry.previous} == {1, 2}
        Bundle.load(tmp_path / "current")
    registry.activate(1)
    assert registry.current == 1
