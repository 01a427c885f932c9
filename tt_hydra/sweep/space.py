"""What a study searches: keys, the values that each may take, and when it is searched at all. Plain values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TypeGuard

Value = str | int | float | bool | None
MOST_POINTS = 10_000
"""Combinations of values up to which points are counted."""
STEP_TOLERANCE = 1e-8
"""Part of a step by which sums of floats miss it."""


@dataclass(frozen=True, slots=True)
class Float:
    """Numbers between two, both included; ``log`` spends as much on each factor, ``step`` allows multiples above ``low`` alone."""

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Int:
    """Whole numbers between two, both included."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Some values, each as the command line writes it."""

    options: tuple[str, ...]


Domain = Float | Int | Choice
Draw = Callable[[str, Domain], Value]
"""Gives the value of a parameter, by its name: drawn, or known from before."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched key.

    Attributes:
        key: as the command line writes it before the ``=``.
        domain: the values that it may take.
        when: values of other searched keys under which it is searched; empty for always.
        name: what it is called in the study; two parameters of one key have different conditions and different names.
    """

    key: str
    domain: Domain
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = ""

    def holds(self, chosen: Mapping[str, str]) -> bool:
        """Whether it is searched where these values were chosen before it."""
        return all(chosen.get(key) in allowed for key, allowed in self.when.items())


@dataclass(frozen=True, slots=True)
class Space:
    """Parameters, each after those that its conditions name."""

    parameters: tuple[Parameter, ...]

    def choose(self, draw: Draw) -> dict[str, Value]:
        """The value of each parameter that is searched, by its name."""
        chosen: dict[str, str] = {}
        values: dict[str, Value] = {}
        for each in self.parameters:
            if each.holds(chosen):
                values[each.name] = draw(each.name, each.domain)
                chosen[each.key.lstrip("+")] = text(values[each.name])
        return values

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """Values by name as words of a command line."""
        return [f"{each.key}={text(values[each.name])}" for each in self.parameters if each.name in values]

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether values by name are one point of this space."""
        missing = object()
        found = self.choose(lambda name, domain: values.get(name, missing))  # type: ignore[arg-type]
        domains = {each.name: each.domain for each in self.parameters}
        return found.keys() == values.keys() and all(inside(value, domains[name]) for name, value in found.items())

    def size(self) -> float:
        """How many points it has; infinite where a parameter is continuous, or where they are too many to be tried."""
        combinations = math.prod(_count(each.domain) for each in self.parameters)
        if combinations > MOST_POINTS:
            return math.inf
        return sum(1 for _ in self._points())

    def fingerprint(self) -> str:
        """The same for the same space."""
        plain = [[each.name, type(each.domain).__name__, asdict(each.domain), sorted(each.when.items())] for each in self.parameters]
        return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=12).hexdigest()

    def _points(self) -> Iterator[tuple[tuple[str, Value], ...]]:
        """Every point, once; where there are conditions, several combinations of values are the same point."""
        counts, seen = {each.name: int(_count(each.domain)) for each in self.parameters}, set()
        for picks in product(*(range(count) for count in counts.values())):
            at = dict(zip(counts, picks, strict=True))
            point = tuple(self.choose(lambda name, domain, at=at: _member(domain, at[name])).items())  # type: ignore[misc]
            if point not in seen:
                seen.add(point)
                yield point


def text(value: Value) -> str:
    """A value as the command line writes it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)


def _count(domain: Domain) -> float:
    if isinstance(domain, Choice):
        return len(domain.options)
    if isinstance(domain, Int):
        return (domain.high - domain.low) // domain.step + 1
    return math.inf if domain.step is None and domain.high > domain.low else round((domain.high - domain.low) / (domain.step or 1)) + 1


def _member(domain: Domain, at: int) -> Value:
    if isinstance(domain, Choice):
        return domain.options[at]
    return domain.low + at * (domain.step or 1)


def inside(value: object, domain: Domain) -> TypeGuard[Value]:
    """Whether a domain holds a value: between its ends, and on its steps where it has any."""
    if isinstance(domain, Choice):
        return value in domain.options
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not domain.low <= value <= domain.high:
        return False
    steps = 0.0 if domain.step is None else (value - domain.low) / domain.step
    return math.isclose(steps, round(steps), abs_tol=STEP_TOLERANCE)
