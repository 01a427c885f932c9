from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from tt_hydra.artifact import keys
from tt_hydra.artifact.keys import canonical, code_version, fingerprint, identity, library_version, own_code, stage_key
from tt_hydra.loss.infonce import InfoNCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    width: int = 3


@dataclass(frozen=True)
class Holder:
    inner: object


class Color(StrEnum):
    RED = "red"


def test_equal_content_has_one_key_whatever_its_form() -> None:
    key = stage_key("train", {"a": 1, "b": (1, 2.5), "c": {"x": None, "y": True}}, ["in"], ["tt_hydra.errors"], ["torch"])
    same = stage_key("train", {"c": {"y": True, "x": None}, "b": [1.0, 2.5], "a": 1.0}, ("in",), ["tt_hydra.errors"], ["torch"])
    assert key == same
    assert len(key) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "embed"},
        {"values": {"a": 2}},
        {"values": {"a": "1"}},
        {"values": {"a": True}},
        {"values": {"a": 1, "b": None}},
        {"inputs": ["y", "x"]},
        {"inputs": ["x"]},
        {"code": ["tt_hydra.contracts"]},
        {"libraries": ["numpy", "torch"]},
    ],
)
def test_each_ingredient_changes_the_key(change: dict[str, object]) -> None:
    base = {"stage": "train", "values": {"a": 1}, "inputs": ["x", "y"], "code": ["tt_hydra.errors"], "libraries": ["numpy"]}
    assert stage_key(**base) != stage_key(**{**base, **change})  # type: ignore[arg-type]


def test_canonical_forms() -> None:
    assert canonical({"p": Path("a/b"), "n": np.float32(0.5), "i": np.int64(4), "e": Color.RED, "s": {2, 1}}) == {
        "p": "a/b",
        "n": 0.5,
        "i": 4,
        "e": "red",
        "s": [1, 2],
    }
    part = canonical(Part(width=4))
    assert part["width"] == 4
    assert part["_target_"].endswith("Part")


@pytest.mark.parametrize(
    ("value", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), (object(), TypeError), (b"x", TypeError)]
)
def test_values_without_a_canonical_form_are_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        fingerprint({"a": value})


def test_a_package_is_its_source_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = []
    for place, body in (("one", "A = 1\n"), ("two", "A = 1\n"), ("three", "A = 2\n")):
        package = tmp_path / place / "some_package" / "inner"
        package.mkdir(parents=True)
        (package.parent / "__init__.py").write_text("")
        (package / "module.py").write_text(body)
        (package / "notes.txt").write_text(place)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            keys.code_version.cache_clear()
            versions.append(code_version("some_package"))
        sys.modules.pop("some_package", None)
    assert versions[0] == versions[1] != versions[2]
    with pytest.raises(ModuleNotFoundError):
        code_version("tt_hydra.no_such_module")


def test_library_versions() -> None:
    assert library_version("no-such-distribution") == "absent"
    assert library_version("python") == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert identity("s", {}, libraries=["numpy"])["libraries"] == {"numpy": np.__version__}


def test_the_source_of_a_users_own_components_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "keyed_losses"
    package.mkdir()
    (package / "__init__.py").write_text("")
    lines = ["from dataclasses import dataclass", "@dataclass(frozen=True)", "class Mine:", "    inner: object = None"]
    (package / "mine.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("keyed_losses.mine").Mine
    assert own_code([mine(), InfoNCE(), 3, None]) == {"keyed_losses"}
    assert own_code([Holder(mine())]) >= {"keyed_losses"}, "also within another component"
    assert own_code([InfoNCE()]) == set()
    before = code_version("keyed_losses")
    (package / "mine.py").write_text("\n".join([*lines, "    power: int = 2"]))
    code_version.cache_clear()
    assert code_version("keyed_losses") != before
