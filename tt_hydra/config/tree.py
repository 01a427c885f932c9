"""Dotted paths of a tree of mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def paths(tree: Mapping[Any, Any], prefix: str = "") -> list[str]:
    """Dotted path of every key, in order; ``_target_`` is left out."""
    result = []
    for key in tree:
        if key != "_target_":
            value = tree.get(key)
            result.append(f"{prefix}{key}")
            result += paths(value, f"{prefix}{key}.") if isinstance(value, Mapping) else []
    return result
