"""What an annotation says about a value: a small language of types, resolved from source without importing anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tt_hydra.config import signature
from tt_hydra.config.signature import Alias, Class, Module

SEQUENCES = {"tuple", "list", "Sequence"}
MAPPINGS = {"dict", "Mapping"}


@dataclass(frozen=True, slots=True)
class Anything:
    """No statement: any value will do."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A plain value."""

    kind: Literal["int", "float", "bool", "str", "Path", "None"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some literal values."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A list.

    Attributes:
        items: type of every value where ``length`` is None, otherwise of each in turn.
    """

    items: tuple[Type, ...]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping from strings to values of one type."""

    value: Type


@dataclass(frozen=True, slots=True)
class Instance:
    """A dataclass: a mapping of its fields, whose ``_target_`` may be left out."""

    cls: Class


@dataclass(frozen=True, slots=True)
class Component:
    """Any component of a kind: a mapping whose ``_target_`` names a class that implements the protocol."""

    protocol: Class


@dataclass(frozen=True, slots=True)
class Either:
    """A value of one of several types."""

    options: tuple[Type, ...]


Type = Anything | Scalar | Choice | Many | Table | Instance | Component | Either


def resolve(annotation: ast.expr, module: Module) -> Type:
    """The type that an annotation means in the scope of a module; ``Anything`` for what this language does not say."""
    match annotation:
        case ast.Constant(value=None):
            return Scalar("None")
        case ast.Constant(value=str(text)):
            return resolve(ast.parse(text, mode="eval").body, module)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either([resolve(left, module), resolve(right, module)])
        case ast.Subscript(value=generic, slice=inner):
            return _subscript(ast.unparse(generic), inner, module)
        case ast.Name() | ast.Attribute():
            return _named(ast.unparse(annotation), module)
    return Anything()


def _subscript(generic: str, inner: ast.expr, module: Module) -> Type:
    name = generic.rpartition(".")[2]
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Choice(tuple(part.value for part in parts if isinstance(part, ast.Constant)))
    if name == "Optional":
        return _either([resolve(inner, module), Scalar("None")])
    if name == "Annotated":
        return resolve(parts[0], module)
    if name in SEQUENCES:
        repeated = name != "tuple" or (len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is Ellipsis)
        return Many((resolve(parts[0], module),)) if repeated else Many(tuple(resolve(part, module) for part in parts), len(parts))
    if name in MAPPINGS:
        return Table(resolve(parts[1], module))
    return Anything()


def _named(name: str, module: Module) -> Type:
    last = name.rpartition(".")[2]
    match last:
        case "int" | "float" | "bool" | "str" | "Path" | "None":
            return Scalar(last)
        case "tuple" | "list" | "Sequence":
            return Many((Anything(),))
        case "dict" | "Mapping":
            return Table(Anything())
    found = signature.find(module, name)
    if isinstance(found, Alias):
        return resolve(found.expression, found.module)
    return Anything() if found is None else _class(found)


def _class(cls: Class) -> Type:
    if cls.is_protocol:
        return Component(cls)
    if cls.is_dataclass:
        return Instance(cls)
    if any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in cls.node.bases):
        values = (node.value for node in cls.node.body if isinstance(node, ast.Assign))
        return Choice(tuple(value.value for value in values if isinstance(value, ast.Constant)))
    return Anything()


def _either(options: list[Type]) -> Type:
    flat = [inner for option in options for inner in (option.options if isinstance(option, Either) else (option,))]
    if any(isinstance(option, Anything) for option in flat):
        return Anything()
    return Either(tuple(flat))


def describe(kind: Type) -> str:  # noqa: PLR0911  # one line for each case
    """A type in words, for messages."""
    match kind:
        case Scalar(kind=name):
            return {
                "int": "a whole number",
                "float": "a finite number",
                "bool": "true or false",
                "str": "a text",
                "Path": "a path",
                "None": "null",
            }[name]
        case Choice(values=values):
            return " or ".join(str(value) for value in values)
        case Many(items=items, length=None):
            return f"a list whose values are each {describe(items[0])}"
        case Many(length=length):
            return f"a list of {length} values"
        case Table():
            return "a mapping"
        case Instance(cls=cls):
            return f"the keys of {cls.node.name}"
        case Component(protocol=protocol):
            return f"a {protocol.node.name}"
        case Either(options=options):
            return ", or ".join(describe(option) for option in _null_last(options))
    return "anything"


def _null_last(options: tuple[Type, ...]) -> Iterator[Type]:
    yield from (option for option in options if option != Scalar("None"))
    yield from (option for option in options if option == Scalar("None"))
