"""Rules within a data source: keys of its declaration that nothing reads. Pure functions of the settings' spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tt_hydra.component import TARGET
from tt_hydra.config.nodes import Rule, Spec
from tt_hydra.config.problems import Problem

TABLE = "tt_hydra.data.table.Table"
SHARE = 0.1
"""Of validation and of test, where nobody says otherwise."""
BY_COLUMN = ("features", "context")
"""Nodes whose keys are names of columns."""
FEATURE_KEYS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "sep": ("|", ("multi",)),
    "bins": (0, ("numeric",)),
    "normalize": ("standard", ("numeric",)),
    "min_count": (1, ("categorical", "multi")),
}
"""Of the keys of a feature, what each is where nobody sets it, and the kinds that read it."""


def shares(spec: Spec) -> Iterator[Problem]:
    """Shares of validation and test that the split of a table does not read."""
    split = spec["data"].get("split")
    if spec["data"][TARGET] != TABLE or not isinstance(split, Mapping):
        return
    kind, parted = split.get("kind", "leave_last_out"), split.get("valid_from") is not None
    read = {
        "random": ("data.split.valid", "data.split.test"),
        "temporal": () if parted else ("data.valid_share",),
        "given": ("data.valid_share",),
    }
    given = {"data.valid_share": spec["data"].get("valid_share"), **{f"data.split.{name}": split.get(name) for name in ("valid", "test")}}
    for path, share in given.items():
        if share is not None and share != SHARE and path not in read.get(kind, ()):
            why = "data.split.valid_from and data.split.test_from cut by time" if parted else "one event of each query is taken"
            fix = f"set {' and '.join(read[kind])} instead" if read.get(kind) else why
            yield Problem(path, f"has no effect under data.split.kind={kind}: {fix}", warning=True)


def feature_keys(spec: Spec) -> Iterator[Problem]:
    """Keys of a feature that its kind does not read."""
    for path, feature in _features(spec["data"], "data"):
        for key, (usual, kinds) in FEATURE_KEYS.items():
            if feature.get(key, usual) != usual and feature.get("kind") not in kinds:
                what = f"has no effect: it is read by kind={' and '.join(kinds)}, and this is kind={feature.get('kind')}"
                yield Problem(f"{path}.{key}", what, warning=True)


def _features(node: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The features in their long form in a node and below it, with their dotted paths."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key.endswith(BY_COLUMN) and isinstance(value, Mapping):
            yield from ((f"{where}.{key}.{name}", feature) for name, feature in value.items() if isinstance(feature, Mapping))
        else:
            yield from _features(value, f"{where}.{key}")


RULES: tuple[Rule, ...] = (shares, feature_keys)
"""In the order in which their problems are told."""
