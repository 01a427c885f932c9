"""Components as data: a frozen dataclass of hyper-parameters and its spec, one the image of the other.

Every choice of a config group (a tower, a loss, an index ...) is a frozen dataclass whose fields are its config keys. What has
weights has a ``build(...)`` method that returns a module. So a component can be written to a manifest, hashed into a stage key
and made again from either, with no config library involved.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tt_hydra.errors import ConfigError

T = TypeVar("T")
TARGET = "_target_"
ALLOWED_PREFIXES = ("tt_hydra.",)


def spec_of(component: object) -> dict[str, Any]:
    """The spec of a component: its ``_target_`` and its fields, nested components included.

    Raises:
        TypeError: ``component`` is not a dataclass instance.
    """
    if not dataclasses.is_dataclass(component) or isinstance(component, type):
        raise TypeError(f"a component is a dataclass instance, got {component!r}")
    kind = type(component)
    fields = {field.name: _plain(getattr(component, field.name)) for field in dataclasses.fields(component)}
    return {TARGET: f"{kind.__module__}.{kind.__qualname__}", **fields}


def option_of(component: object) -> str:
    """The option of a config group that a component, its class or its spec is of: what it is called on the command line."""
    if isinstance(component, Mapping):
        return str(component[TARGET]).split(".")[-2]
    kind = component if isinstance(component, type) else type(component)
    return kind.__module__.rpartition(".")[2]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return spec_of(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def instantiate(spec: Mapping[str, Any], expected: type[T], *, allow: Sequence[str] = ()) -> T:
    """Makes a component from its spec: the one gate through which a name in a file becomes an object.

    Args:
        spec: ``{"_target_": "tt_hydra.loss.infonce.InfoNCE", field: value ...}``; nested specs are made first.
        expected: class that the result must be an instance of; ``object`` for any.
        allow: module prefixes that are allowed besides ``tt_hydra.``.

    Raises:
        ConfigError: the target is not allowed, does not exist, refuses its arguments, or is of another kind.
    """
    target = str(spec.get(TARGET, ""))
    arguments = {key: _nested(value, allow) for key, value in spec.items() if key != TARGET}
    try:
        result = _resolve(target, allow)(**arguments)
    except TypeError as error:
        raise ConfigError(f"{target} cannot be made from {sorted(arguments)}: {error}") from error
    if not isinstance(result, expected):
        raise ConfigError(f"{target} is not a {expected.__name__}")
    return result


def _nested(value: Any, allow: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return instantiate(value, object, allow=allow) if TARGET in value else {k: _nested(v, allow) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_nested(item, allow) for item in value)
    return value


def _resolve(target: str, allow: Sequence[str]) -> Any:
    prefixes = (*ALLOWED_PREFIXES, *allow)
    module_name, _, class_name = target.rpartition(".")
    if not target.startswith(prefixes) or class_name.startswith("_"):
        raise ConfigError(f"_target_ {target!r} is not allowed: a component's name starts with one of {prefixes}")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"_target_ {target!r} does not exist: {error}") from error
