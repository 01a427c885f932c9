from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import CommandLine

from tt_hydra import cli
from tt_hydra.artifact.changes import Change
from tt_hydra.artifact.registry import REGISTRY, Registry
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.data.dataset import Dataset
from tt_hydra.pipeline import contest


@pytest.fixture(scope="module")
def finished(command: Callable[..., CommandLine], in_process: Callable[..., dict[str, float]]) -> CommandLine:
    line = command("train.max_epochs=1")
    in_process(line)
    return line


def test_publish_list_and_roll_back(finished: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"outputs={finished.outputs}"
    assert cli.status(["versions", where]) == 0
    assert "0 versions in" in capsys.readouterr().out
    assert cli.status(["versions", "publish=latest", where]) == 0
    told = capsys.readouterr().out
    assert "1 versions in" in told
    assert "current" in told
    assert cli.status(["search", "bundle=current", "query_id=u1", f"outputs={finished.outputs}"]) == 0
    capsys.readouterr()
    assert cli.status(["versions", "rollback=true", where]) == 2
    assert "no version was current before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["publish=latest", "rollback=true"], "give one of them"),
        (["activate=7"], "has no version 7"),
        (["publish=nowhere"], "there is no such folder"),
        (["keep=0"], "at least 1"),
        (["publsh=latest"], "did you mean 'publish'"),
    ],
)
def test_mistakes_say_what_to_do(given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.status(["versions", *given, f"outputs={tmp_path}"]) == 2
    assert told in capsys.readouterr().err


def test_a_version_made_by_an_update_shows_the_recall_that_it_was_given(
    tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"run": {"test/index/recall@10": 0.25, "valid/index/recall@10": 0.5}, "update": {"valid/index/recall@10": 0.75}}
    where = f"outputs={tmp_path / 'outputs'}"
    for name, measured in figures.items():
        bundle = write_bundle(tmp_path / name, replace(parts, measured=measured))
        assert cli.status(["versions", f"publish={bundle.folder}", "force=true", where]) == 0
    head, first, second, _ = (" ".join(line.split()) for line in capsys.readouterr().out.splitlines()[-4:])
    assert head == "version made items dim test recall@10 valid recall@10"
    assert first.endswith(" 0.25 0.5")
    assert second.endswith(" 0.75")


def test_a_worse_bundle_needs_force(
    tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest.Contest, "quality", lambda _: [0.25, 0.5])
    monkeypatch.setattr(contest.Contest, "p99_ms", lambda _: [1.0, 1.0])
    bundles = [write_bundle(tmp_path / name, replace(parts, measured={"x": float(len(name))})) for name in ("a", "bb")]
    where = f"outputs={tmp_path / 'outputs'}"
    assert cli.status(["versions", f"publish={bundles[0].folder}", where]) == 0
    assert "no version is current, so there is nothing to compare with" in capsys.readouterr().err
    assert cli.status(["versions", f"publish={bundles[1].folder}", "gate.quality=0.2", where]) == 2
    told = capsys.readouterr().err
    assert "quality recall@10 is 0.25, version 1 has 0.5, and gate.quality=0.2 allows 0.3" in told
    assert cli.status(["versions", f"publish={bundles[1].folder}", "gate.quality=0.3", where]) == 0
    assert cli.status(["versions", f"publish={bundles[0].folder}", "force=true", where]) == 0
    assert cli.status(["versions", "gate.quality=-1", where]) == 2
    assert "gate.quality=-1" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["rollback=true", "activate=1"])
def test_a_version_that_cannot_take_what_was_written_is_not_made_current(
    command: str, tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given vectors are of one version: no other has any for the new item."""
    where, registry = f"outputs={tmp_path / 'outputs'}", Registry(tmp_path / "outputs" / REGISTRY)
    folder = shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    np.save(folder / "query_vectors.npy", np.ones((parts.dataset.num_queries, 16), np.float32))
    for number, name in enumerate(("one", "two")):
        vectors = np.load(parts.item_vectors) + np.float32(number)
        np.save(tmp_path / f"{name}.npy", vectors)
        given = replace(parts, model=None, dataset=Dataset.load(folder), item_vectors=tmp_path / f"{name}.npy", reference=None)
        assert cli.status(["versions", f"publish={write_bundle(tmp_path / name, given).folder}", "force=true", where]) == 0
    model = registry.version(2).manifest.model_fingerprint
    registry.log.append([Change(items=[{"id": "new", "title": "x"}], vectors=np.ones((1, vectors.shape[1]), np.float32), model=model)])
    capsys.readouterr()
    assert cli.status(["versions", command, where]) == 2
    told = capsys.readouterr().err
    assert "version 1 cannot be current" in told
    assert "update delete=FILE" in told
    assert registry.current == 2
    registry.log.append([Change(deleted=["new"])])
    assert cli.status(["versions", command, where]) == 0
    assert registry.current == 1


def test_a_damaged_version_that_is_not_served_is_told_and_stops_nothing(
    tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    where, registry = f"outputs={tmp_path / 'outputs'}", Registry(tmp_path / "outputs" / REGISTRY)
    for number in range(3):
        registry.publish(write_bundle(tmp_path / str(number), replace(parts, measured={"x": float(number)})))
    manifest = registry.folder / "versions" / "1" / "manifest.json"
    manifest.unlink()
    assert cli.status(["versions", where]) == 0
    told = capsys.readouterr()
    assert f"version 1 is left out: {manifest.parent} is no bundle" in told.err
    assert "2 versions in" in told.out
    (tmp_path / "ids.txt").write_text("i1\n")
    for words in (["versions", "rollback=true"], ["update", f"delete={tmp_path / 'ids.txt'}"]):
        assert cli.status([*words, where]) == 0
    assert (registry.current, registry.log.last) == (2, 1)
