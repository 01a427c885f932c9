"""A few points of a search space that together show every key, every option and both ends of every range."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl

from tt_hydra.config.check import Checked
from tt_hydra.config.compose import compose
from tt_hydra.config.problems import Problem
from tt_hydra.sweep.space import Choice, Domain, Parameter, Space, Value

MOST = 40


def examples(space: Space) -> list[list[str]]:
    """Overrides of some points, no two alike."""
    found = [_point(space, {}), _point(space, {}, last=True)]
    for each in space.parameters:
        for option in each.domain.options if isinstance(each.domain, Choice) else ():
            found.append(_point(space, {**_parents(space, each), each.name: option}))
    distinct = {tuple(overrides): overrides for overrides in found}
    return list(distinct.values())[:MOST]


def compositions(loader: ConfigLoaderImpl, command: str, shared: Sequence[str], points: Sequence[Sequence[str]]) -> list[Problem]:
    """Misspelt keys and options in a space: whatever cannot be composed at some point."""
    return [problem for point in points for problem in compose(loader, command, [*shared, *point])[1]]


def common(checks: Sequence[Checked]) -> list[Problem]:
    """What is wrong at every point: nothing that a trial could be spared by choosing other values."""
    first, *others = checks
    return [problem for problem in first.problems if all(problem in other.problems for other in others)]


def _point(space: Space, forced: dict[str, Value], last: bool = False) -> list[str]:
    return space.overrides(space.choose(lambda name, domain: forced[name] if name in forced else _end(domain, last)))


def _end(domain: Domain, last: bool) -> Value:
    if isinstance(domain, Choice):
        return domain.options[-1 if last else 0]
    return domain.high if last else domain.low


def _parents(space: Space, parameter: Parameter) -> dict[str, Value]:
    """Values under which a parameter is searched."""
    forced: dict[str, Value] = {}
    for key, allowed in parameter.when.items():
        for parent in space.parameters:
            if parent.key.lstrip("+") == key:
                forced |= {**_parents(space, parent), parent.name: _typed(parent.domain, allowed[0])}
    return forced


def _typed(domain: Domain, word: str) -> Value:
    return word if isinstance(domain, Choice) else int(word)
