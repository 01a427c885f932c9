"""Checks that samplers share."""

from __future__ import annotations

from tt_hydra.errors import ConfigError


def check_at_least_one(**values: int) -> None:
    """Refuses numbers below 1.

    Raises:
        ConfigError: names the first such key.
    """
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"negatives.{name} counts items, so it is at least 1; got {value}.")
