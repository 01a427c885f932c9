"""The values that a study tries first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from tt_hydra.sweep.space import Choice, Domain, Parameter, Space, Value, inside, text


def start_of(space: Space, values: Mapping[str, Any]) -> dict[str, Value]:
    """The values of a trial by the names of their parameters; a parameter of which nothing is said is left to be drawn.

    Args:
        space: what is searched.
        values: by key, as ``sweep.starts`` has them.

    Raises:
        ValueError: a key is not searched, or a value lies outside of its domain: what, and what is allowed.
    """
    keys = {each.key.lstrip("+") for each in space.parameters}
    for key in values:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            raise ValueError(f"names {key!r}, which is not searched" + (f"; did you mean {near[0]!r}?" if near else ""))
    return {each.name: _valued(each, values[each.key.lstrip("+")]) for each in space.parameters if each.key.lstrip("+") in values}


def _valued(parameter: Parameter, value: Any) -> Value:
    domain = parameter.domain
    if isinstance(domain, Choice):
        word = value if isinstance(value, str) else text(value)
        if word in domain.options:
            return word
    elif inside(value, domain):
        return value
    raise ValueError(f"has {parameter.key}={value!r}, and the space has {_allowed(domain)}")


def _allowed(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return ", ".join(domain.options)
    return f"{domain.low} to {domain.high}" + (f" in steps of {domain.step}" if domain.step not in (None, 1) else "")
