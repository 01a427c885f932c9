"""The whole configuration against the signatures of its components: every mistake at once, before anything is imported or done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tt_hydra.config import signature
from tt_hydra.config.bind import MISSING, Binder
from tt_hydra.config.nodes import Rule
from tt_hydra.config.problems import Problem, nearest
from tt_hydra.config.tree import paths

GROUPS_OF_NODES = {"query_tower": "tower", "item_tower": "tower", "text_pooling": "pooling", "history_pooling": "pooling"}
"""Nodes that another group's options fill: ``tower@query_tower=NAME``."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A configuration, looked at.

    Attributes:
        spec: the settings as plain data, every node with its ``_target_``; only fit to be built where no problem is an error.
        problems: errors and warnings.
        allow: module prefixes of components outside the project.
    """

    spec: dict[str, Any]
    problems: tuple[Problem, ...]
    allow: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that refuse the configuration."""
        return tuple(problem for problem in self.problems if not problem.warning)


def check(config: DictConfig, settings: str, rules: Sequence[Rule] = (), given: Mapping[str, Any] | None = None) -> Checked:
    """Looks at a composed configuration.

    Args:
        config: what Hydra composed, without its own node.
        settings: dotted name of the dataclass whose fields are the configuration's root nodes.
        rules: rules between nodes, looked at where every node is right by itself.
        given: values that the command line adds, by dotted path (``runtime.run_dir``); not for the user to set.
    """
    plain, problems = _plain(config)
    problems += _insert(plain, given or {})
    cls = signature.find_class(settings)
    if cls is None:
        raise TypeError(f"{settings} is no dataclass of ours")
    binder = Binder(_allowed(plain))
    spec = binder.fields(plain, cls, "")
    problems += [_with_place(problem, plain) for problem in binder.problems]
    if not problems:
        spec = _with_defaults(spec, cls)
        problems += [problem for rule in rules for problem in rule(spec)]
    return Checked(spec, tuple(problems), binder.allow)


def _with_defaults(spec: dict[str, Any], cls: signature.Class) -> dict[str, Any]:
    """The spec with the root values that were left out."""
    defaults = {name: signature.default(field) for name, field in signature.fields(cls).items()}
    return {**{name: value for name, value in defaults.items() if value is not ...}, **spec}


def _plain(config: DictConfig) -> tuple[dict[str, Any], list[Problem]]:
    """The configuration as plain containers, interpolations resolved, missing values as ``???``."""
    plain: dict[str, Any] = {}
    problems = []
    for key in config:
        try:
            value = MISSING if OmegaConf.is_missing(config, key) else config[key]
            plain[str(key)] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        except OmegaConfBaseException as error:
            problems.append(Problem(str(error.full_key or key), f"cannot be resolved: {str(error).splitlines()[0]}"))
    return plain, problems


def _insert(plain: dict[str, Any], given: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for path, value in given.items():
        *parents, last = path.split(".")
        node: Any = plain
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            if last in node:
                problems.append(Problem(path, "is not for you to set; hydra.run.dir=DIR moves a run's folder"))
            node[last] = value
    return problems


def _allowed(plain: Mapping[str, Any]) -> tuple[str, ...]:
    runtime = plain.get("runtime")
    allowed = runtime.get("allow_targets") if isinstance(runtime, Mapping) else None
    return tuple(str(prefix) for prefix in allowed) if isinstance(allowed, (list, tuple)) else ()


def _with_place(problem: Problem, plain: Mapping[str, Any]) -> Problem:
    """Adds to an unknown root key where in the tree a key of that name is, and to a filled-in name which group to choose from."""
    group = GROUPS_OF_NODES.get(problem.path)
    if group is not None and isinstance(plain.get(problem.path), str):
        return Problem(problem.path, f"{problem.message}; choose it with {group}@{problem.path}={plain[problem.path]}")
    if "." not in problem.path and "is no key" in problem.message and "did you mean" not in problem.message:
        others = [path for path in paths(plain) if path != problem.path]
        same = next((path for path in others if path.rpartition(".")[2] == problem.path), None)
        match = same or nearest(problem.path, others)
        return problem if match is None else Problem(problem.path, f"{problem.message.partition(';')[0]}; did you mean {match!r}?")
    return problem
