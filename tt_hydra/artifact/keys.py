"""Keys of the stage store: two stages have the same key if and only if they would give the same output."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from tt_hydra.component import spec_of

OURS = __name__.partition(".")[0]
FORMAT = 1
"""Version of the store's layout; part of every key."""


def identity(
    stage: str, values: Mapping[str, Any], inputs: Sequence[str] = (), code: Sequence[str] = (), libraries: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything that decides a stage's output, as plain JSON values.

    Args:
        stage: name of the stage.
        values: its config values; components, paths and numpy scalars are made plain.
        inputs: keys or content hashes of what it reads, in order.
        code: packages or modules whose source it runs (``tt_hydra.tower``).
        libraries: distributions whose version matters (``torch``); ``python`` for the interpreter.

    Raises:
        TypeError: a value that has no canonical form.
        ValueError: a number that is not finite.
    """
    return {
        "format": FORMAT,
        "stage": stage,
        "values": canonical(values),
        "inputs": list(inputs),
        "code": {name: code_version(name) for name in sorted(set(code))},
        "libraries": {name: library_version(name) for name in sorted(set(libraries))},
    }


def stage_key(
    stage: str, values: Mapping[str, Any], inputs: Sequence[str] = (), code: Sequence[str] = (), libraries: Sequence[str] = ()
) -> str:
    """The key of a stage's output: 32 hex digits over its `identity`."""
    return fingerprint(identity(stage, values, inputs, code, libraries))


def fingerprint(value: Any) -> str:
    """32 hex digits over the canonical JSON of any plain value; the order of a mapping's keys has no influence."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def canonical(value: Any) -> Any:
    """The one plain form of a value: ``1`` and ``1.0`` are the same, a tuple is a list, a component is its spec.

    Raises:
        TypeError: a value without a canonical form.
        ValueError: a number that is not finite.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = spec_of(value)
    if isinstance(value, Enum):
        value = value.value
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): canonical(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(canonical(item) for item in value)
    if isinstance(value, float):
        return _number(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be part of a stage key")


def _number(value: float) -> float | int:
    if not math.isfinite(value):
        raise ValueError(f"a stage key takes finite numbers, got {value}")
    return int(value) if value.is_integer() else value


def own_code(values: Iterable[Any]) -> set[str]:
    """The modules of a user's own components among the values, at any depth: editing a loss of one's own must train it again.

    Where such a module lies in a package, all of the package counts, since the component may use the rest of it.
    """
    found: set[str] = set()
    for value in values:
        if not dataclasses.is_dataclass(value):
            continue
        module = type(value).__module__
        package = module.partition(".")[0]
        if package != OURS:
            found |= set(next(([name] for name in (package, module) if _has_source(name)), []))
        found |= own_code(getattr(value, field.name) for field in dataclasses.fields(value))
    return found


def _has_source(name: str) -> bool:
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # __main__ of a script
        return False
    return spec is not None and spec.origin is not None


@cache
def code_version(name: str) -> str:
    """Hash of the source files of a package (with its subpackages) or a module, whatever folder it is installed in.

    Raises:
        ModuleNotFoundError: there is none of that name.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name!r} to hash the source of")
    origin = Path(spec.origin)
    root, files = (origin.parent, sorted(origin.parent.rglob("*.py"))) if spec.submodule_search_locations else (origin.parent, [origin])
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}:{len(content)}:".encode() + content)
    return digest.hexdigest()


@cache
def library_version(name: str) -> str:
    """Version of an installed distribution, ``absent`` where it is not installed; ``python`` gives the interpreter's."""
    if name == "python":
        return ".".join(platform.python_version_tuple()[:2])
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
