"""A few points of a search space that together show every key, every option and both ends of every range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tt_hydra.config.check import Checked
from tt_hydra.config.problems import Problem
from tt_hydra.sweep.space import Choice, Domain, Parameter, Space, Value

MOST = 40


def examples(space: Space) -> list[list[str]]:
    """Overrides of some points, no two alike: as few as show everything, where conditions allow it."""
    choices = {each.name: each.domain.options for each in space.parameters if isinstance(each.domain, Choice)}
    rounds = max((len(options) for options in choices.values()), default=1)
    forced: list[dict[str, Value]] = [{name: options[at % len(options)] for name, options in choices.items()} for at in range(rounds)]
    chosen = [*(_values(space, values) for values in forced), _values(space, {}, last=True)]
    for each in space.parameters:
        for option in choices.get(each.name, ()):
            if not any(values.get(each.name) == option for values in chosen):
                chosen.append(_values(space, {**_parents(space, each), each.name: option}))
        if not any(each.name in values for values in chosen):
            chosen.append(_values(space, _parents(space, each)))
    distinct = {tuple(space.overrides(values)): space.overrides(values) for values in chosen}
    return list(distinct.values())[:MOST]


def common(checks: Sequence[Checked]) -> list[Problem]:
    """What is wrong at every point: nothing that a trial could be spared by choosing other values."""
    first, *others = checks
    return [problem for problem in first.problems if all(_has(other, problem) for other in others)]


def _has(checked: Checked, problem: Problem) -> bool:
    return any((other.path, other.warning) == (problem.path, problem.warning) for other in checked.problems)


def _values(space: Space, forced: Mapping[str, Value], last: bool = False) -> dict[str, Value]:
    return space.choose(lambda name, domain: forced[name] if name in forced else _end(domain, last))


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
