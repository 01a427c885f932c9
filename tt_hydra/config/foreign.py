"""Components from outside the project (``runtime.allow_targets``): their modules are imported, and their signatures inspected."""

from __future__ import annotations

import importlib
import inspect

from tt_hydra.config.problems import Problem, did_you_mean


def check(target: str, given: set[str], needed: set[str], path: str) -> list[Problem]:
    """What is wrong with a node whose class is not ours.

    Args:
        target: dotted name of the class.
        given: keys of the node.
        needed: methods and properties that its kind asks for.
        path: dotted path of the node.
    """
    module_name, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module_name), name)
        parameters = inspect.signature(cls).parameters.values()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        return [Problem(f"{path}._target_", f"{target!r} cannot be used: {error}")]
    named = {each.name: each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
    problems = []
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        problems += [Problem(f"{path}.{key}", f"is no key of {name}{did_you_mean(key, named)}") for key in sorted(given - set(named))]
    for key, each in named.items():
        if each.default is each.empty and key not in given:
            problems.append(Problem(f"{path}.{key}", f"is missing: {name} needs it"))
    lacking = sorted(member for member in needed if not hasattr(cls, member) and member not in named)
    if lacking:
        problems.append(Problem(f"{path}._target_", f"{target!r} does not fit there: it has no {', '.join(lacking)}"))
    return problems
