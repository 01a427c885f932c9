"""Binds plain values to types: finds every mistake at once, and gives each value the form that its component expects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tt_hydra.component import ALLOWED_PREFIXES, TARGET
from tt_hydra.config import foreign, signature
from tt_hydra.config.problems import Problem, did_you_mean, nearest
from tt_hydra.config.signature import Class
from tt_hydra.config.types import Anything, Choice, Component, Either, Instance, Many, Scalar, Table, Type, describe, resolve

MISSING = "???"
PACKAGES = {
    "Source": "tt_hydra.data",
    "TowerSpec": "tt_hydra.tower",
    "Pooling": "tt_hydra.pooling",
    "Loss": "tt_hydra.loss",
    "NegativeSampler": "tt_hydra.negatives",
    "ScreenSpec": "tt_hydra.screen",
    "Teacher": "tt_hydra.teacher",
    "Curriculum": "tt_hydra.curriculum",
    "Temperature": "tt_hydra.temperature",
    "IndexSpec": "tt_hydra.index",
    "Quantization": "tt_hydra.quantization",
    "OptimizerSpec": "tt_hydra.train.optimizer",
    "LoggerSpec": "tt_hydra.train.loggers",
}
"""Where the components of a kind stand, by the name of their protocol."""


@dataclass(slots=True)
class Binder:
    """Collects problems while values are bound.

    Attributes:
        allow: module prefixes of components outside the project.
        problems: what was found so far.
    """

    allow: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def bind(self, value: Any, kind: Type, path: str) -> Any:  # noqa: PLR0911  # one line for each case
        """The value in the form that ``kind`` asks for; what does not fit is noted and returned as it is."""
        if value == MISSING and not isinstance(kind, Anything):
            example = "[VALUE]" if isinstance(kind, Many) else "VALUE"
            return self._wrong(path, value, f"must be given: {describe(kind)}, for example {path}={example}")
        match kind:
            case Scalar() | Choice():
                return self._plain(value, kind, path)
            case Many():
                return self._many(value, kind, path)
            case Table(value=inner):
                return self._table(value, inner, path)
            case Instance(cls=cls):
                return self._instance(value, cls, path)
            case Component(protocol=protocol):
                return self._component(value, protocol, path)
            case Either(options=options):
                return self._either(value, options, path)
        return self._loose(value, path)

    def fields(self, values: Mapping[str, Any], cls: Class, path: str) -> dict[str, Any]:
        """The values of a dataclass's fields, as its spec."""
        known = signature.fields(cls)
        bound = {TARGET: cls.target}
        for key, value in values.items():
            inner = f"{path}.{key}" if path else str(key)
            if key == TARGET:
                continue
            if key not in known:
                self._wrong(inner, value, f"is no key of {cls.node.name}{did_you_mean(str(key), known)}")
            else:
                bound[str(key)] = self.bind(value, resolve(known[key].annotation, known[key].module), inner)
        for name, each in known.items():
            if each.default is None and name not in values:
                inner = f"{path}.{name}" if path else name
                self._wrong(inner, None, f"is missing: {cls.node.name} needs it, {describe(resolve(each.annotation, each.module))}")
        return bound

    def _wrong(self, path: str, value: Any, message: str) -> Any:
        self.problems.append(Problem(path, message))
        return value

    def _plain(self, value: Any, kind: Scalar | Choice, path: str) -> Any:
        found = next(_forms(value, kind), None)
        return self._unfit(value, kind, path) if found is None else found[0]

    def _unfit(self, value: Any, kind: Type, path: str) -> Any:
        choices = [str(choice) for option in _options(kind) if isinstance(option, Choice) for choice in option.values]
        match = nearest(value, choices) if isinstance(value, str) else None
        hint = "" if match is None else f"; did you mean {match!r}?"
        return self._wrong(path, value, f"must be {describe(kind)}, got {_shown(value)}{hint}")

    def _many(self, value: Any, kind: Many, path: str) -> Any:
        if not isinstance(value, (list, tuple)) or (kind.length is not None and len(value) != kind.length):
            return self._wrong(path, value, f"must be {describe(kind)}, got {_shown(value)}")
        types = kind.items if kind.length is not None else kind.items * len(value)
        return tuple(self.bind(item, inner, f"{path}[{at}]") for at, (item, inner) in enumerate(zip(value, types, strict=True)))

    def _table(self, value: Any, inner: Type, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(path, value, f"must be a mapping, got {_shown(value)}")
        return {str(key): self.bind(item, inner, f"{path}.{key}") for key, item in value.items()}

    def _loose(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            if TARGET in value:
                return self._targeted(value, path)
            return {key: self._loose(item, f"{path}.{key}") for key, item in value.items()}
        return [self._loose(item, f"{path}[{at}]") for at, item in enumerate(value)] if isinstance(value, (list, tuple)) else value

    def _instance(self, value: Any, cls: Class, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(
                path, value, f"must hold {describe(Instance(cls))} ({', '.join(signature.fields(cls))}), got {_shown(value)}"
            )
        target = value.get(TARGET, cls.target)
        found = signature.find_class(str(target))
        if found is None or cls.target not in {found.target, *(base.target for base in found.bases())}:
            return self._wrong(f"{path}.{TARGET}", value, f"must be {cls.target}, got {target!r}")
        return self.fields(value, found, path)

    def _component(self, value: Any, protocol: Class, path: str) -> Any:
        kind = protocol.node.name
        if not isinstance(value, Mapping):
            return self._wrong(path, value, f"must be a component ({kind}), got {_shown(value)}")
        if TARGET not in value:
            return self._wrong(path, value, f"has no _target_, so it is no {kind}: an option file of its group is empty or incomplete")
        package = PACKAGES.get(kind, signature.ROOT)
        target = str(value[TARGET])
        if target.startswith(f"{signature.ROOT}.") and not target.startswith(f"{package}."):
            options = signature.components(package)
            return self._wrong(f"{path}.{TARGET}", value, f"{target!r} is no {kind}: those are in {package}{did_you_mean(target, options)}")
        return self._targeted(value, path, protocol)

    def _targeted(self, value: Mapping[str, Any], path: str, protocol: Class | None = None) -> Any:
        target = str(value[TARGET])
        if not target.startswith((*ALLOWED_PREFIXES, *self.allow)):
            fix = f"add its package to runtime.allow_targets, as in runtime.allow_targets=[{target.partition('.')[0]}.]"
            return self._wrong(f"{path}.{TARGET}", value, f"{target!r} is not allowed: {fix}")
        if not target.startswith(ALLOWED_PREFIXES):
            return self._foreign(value, target, path, protocol)
        cls = signature.find_class(target)
        if cls is None or not cls.is_dataclass:
            package = PACKAGES.get(protocol.node.name, signature.ROOT) if protocol is not None else target.rpartition(".")[0]
            return self._wrong(f"{path}.{TARGET}", value, f"{target!r} does not exist{did_you_mean(target, signature.components(package))}")
        return self.fields(value, cls, path)

    def _foreign(self, value: Mapping[str, Any], target: str, path: str, protocol: Class | None) -> Any:
        needed = signature.members(protocol) if protocol is not None else set()
        self.problems.extend(foreign.check(target, set(value) - {TARGET}, needed, path))
        return {key: item if key == TARGET else self._loose(item, f"{path}.{key}") for key, item in value.items()}

    def _either(self, value: Any, options: tuple[Type, ...], path: str) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, options, path)
        attempts = [(option, Binder(self.allow)) for option in options]
        results = [(option, attempt, attempt.bind(value, option, path)) for option, attempt in attempts]
        fitting = [(option, result) for option, attempt, result in results if not attempt.problems]
        exact = [result for option, result in fitting if _exact(value, option)]
        if exact or fitting:
            return exact[0] if exact else fitting[0][1]
        lists = [attempt for option, attempt, _ in results if isinstance(option, Many) and isinstance(value, (list, tuple))]
        if lists:
            self.problems.extend(lists[0].problems)
            return value
        return self._unfit(value, Either(options), path)

    def _mapping(self, value: Mapping[str, Any], options: tuple[Type, ...], path: str) -> Any:
        """Binds a mapping to the one of several types that it is meant for."""
        classes = [option.cls for option in options if isinstance(option, Instance)]
        others = [option for option in options if isinstance(option, (Component, Table))]
        if others or len(classes) == 1:
            return self.bind(value, others[0] if others else Instance(classes[0]), path)
        if not classes:
            return self._wrong(path, value, f"must be {describe(Either(options))}, got {_shown(dict(value))}")
        if TARGET not in value:
            return self._wrong(path, value, "has no _target_: an option file of its group is empty or incomplete")
        target = str(value[TARGET])
        meant = next((cls for cls in classes if cls.target == target), None)
        if meant is None:
            hint = did_you_mean(target, [cls.target for cls in classes])
            return self._wrong(f"{path}.{TARGET}", value, f"{target!r} does not fit there{hint}")
        return self.fields(value, meant, path)


def _forms(value: Any, kind: Scalar | Choice) -> Iterator[tuple[Any]]:
    """The value as ``kind`` wants it, in a tuple (the value may be None); nothing where it does not fit."""
    if isinstance(kind, Choice):
        same = [choice for choice in kind.values if type(choice) is type(value) and choice == value]
        spelt = [choice for choice in kind.values if isinstance(choice, str) and type(value) is int and choice == str(value)]
        yield from ((choice,) for choice in same or spelt)
        return
    name, python = kind.kind, type(value)
    if name == "None" and value is None:
        yield (None,)
    elif name == python.__name__ and (python is not float or math.isfinite(value)):
        yield (value,)
    elif name == "float" and python is int:
        yield (float(value),)
    elif name == "str" and python is int:
        yield (str(value),)
    elif name == "Path" and python in (int, str):
        yield (Path(str(value)),)


def _options(kind: Type) -> tuple[Type, ...]:
    return kind.options if isinstance(kind, Either) else (kind,)


def _exact(value: Any, kind: Type) -> bool:
    return not isinstance(kind, Scalar) or kind.kind == ("None" if value is None else type(value).__name__)


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
