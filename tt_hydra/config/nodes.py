"""What rules ask about a node of the settings' spec."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tt_hydra.component import TARGET
from tt_hydra.config import signature
from tt_hydra.config.problems import Problem

VECTORS = "tt_hydra.data.vectors.Vectors"
"""The source that brings vectors of a width of their own."""
Spec = Mapping[str, Any]
Rule = Callable[[Spec], Iterator[Problem]]


def changed(node: Spec, usual: str) -> str | None:
    """What differs in a node from a group's default option: ``""`` for another class, ``.key`` for a value, None where nothing does."""
    cls = signature.find_class(str(node[TARGET]))
    if cls is None or cls.target != usual:
        return ""
    known = signature.fields(cls)
    return next((f".{key}" for key, value in node.items() if key != TARGET and signature.default(known[key]) != value), None)


def constant(node: Spec, name: str) -> object:
    """What the class of a component says about itself."""
    cls = signature.find_class(str(node[TARGET]))
    if cls is not None:
        return signature.constant(cls, name)
    module, _, class_name = str(node[TARGET]).rpartition(".")
    return getattr(getattr(importlib.import_module(module), class_name), name, None)


def losses(loss: Spec, path: str = "loss") -> Iterator[tuple[str, Spec]]:
    """A loss and those that it wraps, with their dotted paths."""
    yield path, loss
    inner, tasks = loss.get("inner"), loss.get("tasks")
    if isinstance(inner, Mapping) and TARGET in inner:
        yield from losses(inner, f"{path}.inner")
    for name, task in tasks.items() if isinstance(tasks, Mapping) else ():
        if isinstance(task.get("loss"), Mapping):
            yield from losses(task["loss"], f"{path}.tasks.{name}.loss")


def any_loss(loss: Spec, name: str) -> bool:
    """Whether a loss, or one that it wraps, may say of itself what ``name`` asks: what wraps others answers by them alone."""
    every = [each for _, each in losses(loss)]
    return any(constant(each, name) is not False for each in (every[1:] or every))
