"""Overrides of a command line as a file: an overlay for ``experiment=``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

PACKAGE = "# @package _global_"


def overlay(loader: ConfigLoaderImpl, overrides: Sequence[str], comment: Sequence[str]) -> str:
    """A file of options that sets what these overrides set, the later of two.

    Args:
        loader: where options are looked up.
        overrides: without ranges of values.
        comment: lines at its head.
    """
    defaults: dict[str, Any] = {}
    experiments: list[Any] = []
    values: dict[str, Any] = {}
    deleted = []
    for override in OverridesParser.create(config_loader=loader).parse_overrides(list(overrides)):
        if override.is_delete():
            deleted.append(override.input_line)
        elif override.key_or_group == "experiment":
            chosen = override.value()
            experiments = list(chosen) if isinstance(chosen, list) else [chosen]
        elif loader.get_group_options(override.key_or_group, ObjectType.CONFIG):
            defaults[_group(override)] = override.value()
        else:
            _set(values, override.key_or_group.split("."), override.value())
    entries = [*(name for name in experiments if name is not None), *({group: option} for group, option in defaults.items()), "_self_"]
    head = [PACKAGE, *(f"# {line}" for line in comment), *(f"# Besides, on the command line: {line}" for line in deleted)]
    body = yaml.safe_dump({"defaults": entries, **values}, sort_keys=False, allow_unicode=True, width=140)
    return "\n".join([*head, "", body])


def _group(override: Override) -> str:
    place = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
    return f"/{place}" if override.is_add() else f"override /{place}"


def _set(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        inner = tree.get(name)
        tree[name] = tree = inner if isinstance(inner, dict) else {}
    tree[last] = value
