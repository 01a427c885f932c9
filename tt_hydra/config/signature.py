"""The signatures of our own components, read from their source: nothing is imported, so a check costs milliseconds.

A component is a dataclass, and its fields are its config keys. A type is what an annotation says about a value; names in it are
followed through the imports of the module that it stands in, within ``tt_hydra``.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.config.paths import PACKAGE

ROOT = PACKAGE.name


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed module of ours: its classes, its aliases (``Metric = Literal[...]``) and where its other names come from."""

    name: str
    classes: dict[str, ast.ClassDef]
    aliases: dict[str, ast.expr]
    imports: dict[str, str]


@dataclass(frozen=True, slots=True)
class Class:
    """A class of ours and the module that it stands in."""

    module: Module
    node: ast.ClassDef

    @property
    def target(self) -> str:
        """Its dotted name, as in ``_target_``."""
        return f"{self.module.name}.{self.node.name}"

    @property
    def is_protocol(self) -> bool:
        """Whether it is a protocol, that is the kind of a component."""
        return any(_last_name(base) == "Protocol" for base in self.node.bases)

    @property
    def is_dataclass(self) -> bool:
        """Whether it is a dataclass."""
        return any(_last_name(_called(decorator)) == "dataclass" for decorator in self.node.decorator_list)

    def bases(self) -> Iterator[Class]:
        """Its base classes that are ours, nearest first, theirs included."""
        for base in self.node.bases:
            found = find(self.module, ast.unparse(base))
            if isinstance(found, Class):
                yield found
                yield from found.bases()


@dataclass(frozen=True, slots=True)
class Alias:
    """An expression that a name stands for."""

    module: Module
    expression: ast.expr


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a dataclass: its annotation, in the scope of its module, and its default's source (None: it must be given)."""

    name: str
    annotation: ast.expr
    default: ast.expr | None
    module: Module


@functools.cache
def load(name: str) -> Module | None:
    """The module of that dotted name, or None where there is no such file."""
    path = source_path(name)
    if path is None:
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    module = Module(name, {}, {}, {})
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            module.classes[node.name] = node
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            module.imports.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            module.imports.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            module.aliases[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            module.aliases[node.target.id] = node.value
    return module


def source_path(name: str) -> Path | None:
    """The source file of a module or package of ours, or None."""
    first, *rest = name.split(".")
    if first != ROOT or not all(part.isidentifier() for part in rest):
        return None
    base = PACKAGE.joinpath(*rest)
    candidates = (base.with_suffix(".py") if rest else base / "__init__.py", base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def find(module: Module, name: str) -> Class | Alias | None:
    """What a name means in a module, followed through imports within the project; None for names from elsewhere."""
    if name in module.classes:
        return Class(module, module.classes[name])
    if name in module.aliases:
        return Alias(module, module.aliases[name])
    return find_target(module.imports[name]) if name in module.imports else None


def find_target(target: str) -> Class | Alias | None:
    """What a dotted name of ours means; None where it does not exist or is not ours."""
    module_name, _, name = target.rpartition(".")
    module = load(module_name)
    return None if module is None else find(module, name)


def find_class(target: str) -> Class | None:
    """The class of that dotted name, or None."""
    found = find_target(target)
    return found if isinstance(found, Class) else None


def fields(cls: Class) -> dict[str, Field]:
    """The fields of a dataclass by name, inherited ones first."""
    result: dict[str, Field] = {}
    for each in reversed([cls, *cls.bases()]):
        for node in each.node.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _last_name(node.annotation) != "ClassVar":
                result[node.target.id] = Field(node.target.id, node.annotation, node.value, each.module)
    return result


def default(field: Field) -> object:
    """The default of a field where its source says it literally (tuples for lists), ``...`` where it is computed or there is none."""
    try:
        return ... if field.default is None else ast.literal_eval(field.default)
    except ValueError:
        return ...


def constant(cls: Class, name: str) -> object:
    """The value that a class gives a name, where its source says it literally: a class variable, or a property that returns a literal.

    Returns None where there is no such name or its value is computed.
    """
    for each in [cls, *cls.bases()]:
        for node in each.node.body:
            value = _literal_of(node, name)
            if value is not None:
                return ast.literal_eval(value)
    return None


def _literal_of(node: ast.stmt, name: str) -> ast.Constant | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=found), value=value) if found == name:
            pass
        case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
            pass
        case ast.FunctionDef(name=found, body=[*_, ast.Return(value=value)]) if found == name:
            pass
        case _:
            return None
    return value if isinstance(value, ast.Constant) else None


def members(cls: Class) -> set[str]:
    """Names of the methods, properties and fields of a class."""
    names: set[str] = set()
    for each in [cls, *cls.bases()]:
        for node in each.node.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def components(package: str) -> list[str]:
    """Dotted names of the public dataclasses in the modules of a package of ours, for suggestions."""
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    modules = [package] if folder.with_suffix(".py").is_file() else [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py"))]
    return [target for name in modules for target in _public_dataclasses(name)]


def _public_dataclasses(module_name: str) -> list[str]:
    module = load(module_name)
    classes = [] if module is None else [Class(module, node) for node in module.classes.values()]
    return [cls.target for cls in classes if cls.is_dataclass and not cls.node.name.startswith("_")]


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
