from __future__ import annotations

from pathlib import Path

import pytest

from tt_hydra.artifact.resolve import resolve_bundle
from tt_hydra.errors import BundleError


def a_run(outputs: Path, name: str) -> Path:
    folder = outputs / "run" / name / "bundle"
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    return folder


def test_names_and_folders(tmp_path: Path) -> None:
    first, second = a_run(tmp_path, "1"), a_run(tmp_path, "2")
    (tmp_path / "run" / "latest").symlink_to("2")
    published = tmp_path / "registry" / "versions" / "7"
    published.mkdir(parents=True)
    (published / "manifest.json").touch()
    (tmp_path / "registry" / "current").symlink_to("versions/7")
    assert resolve_bundle("latest", tmp_path) == second
    assert resolve_bundle("current", tmp_path) == published
    assert resolve_bundle(first, tmp_path) == first
    assert resolve_bundle(str(first.parent), tmp_path) == first


def test_what_is_not_there_names_the_newest_that_are(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no run has finished yet.*There is no bundle under"):
        resolve_bundle("latest", tmp_path)
    a_run(tmp_path, "1")
    newest = a_run(tmp_path, "2")
    (tmp_path / "run" / "latest").symlink_to("2")
    with pytest.raises(BundleError, match=f"no bundle is published as current.*Bundles here: {newest}, .*1/bundle$"):
        resolve_bundle("current", tmp_path)
    with pytest.raises(BundleError, match="there is no such folder"):
        resolve_bundle(tmp_path / "nowhere", tmp_path)
    with pytest.raises(BundleError, match=r"holds no manifest\.json"):
        resolve_bundle(tmp_path / "run", tmp_path)
