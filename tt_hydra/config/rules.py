"""Rules between nodes: what each node allows by itself, but the run does not. Pure functions of the settings' spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tt_hydra.config.problems import Problem

Spec = Mapping[str, Any]
Rule = Callable[[Spec], Iterator[Problem]]

RULES: tuple[Rule, ...] = ()
