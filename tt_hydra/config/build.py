"""From a checked spec to settings: the one gate to instantiation."""

from __future__ import annotations

from typing import Any, TypeVar

from tt_hydra.component import TARGET, instantiate
from tt_hydra.config.check import Checked
from tt_hydra.config.problems import Problem, refuse
from tt_hydra.errors import TTHydraError

T = TypeVar("T")


def build(checked: Checked, expected: type[T]) -> T:
    """The settings that a checked configuration describes.

    Args:
        checked: what ``check`` returned, without errors.
        expected: the settings' class.

    Raises:
        ConfigError: values that components refuse; all of them in one message.
    """
    problems = []
    made: dict[str, Any] = {}
    for key, node in checked.spec.items():
        try:
            made[key] = instantiate(node, object, allow=checked.allow) if isinstance(node, dict) and TARGET in node else node
        except TTHydraError as error:
            problems.append(Problem("" if str(error).startswith(f"{key}.") else key, str(error)))
    refuse(problems)
    return instantiate(made, expected, allow=checked.allow)
