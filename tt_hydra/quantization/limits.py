"""Range checks that the specs of indexes and quantizations share."""

from __future__ import annotations

from tt_hydra.errors import IndexSpecError


def at_least(key: str, value: int | None, low: int) -> None:
    """Refuses a number below ``low``; None (chosen from the data) passes.

    Raises:
        IndexSpecError: ``value`` is below ``low``.
    """
    if value is not None and value < low:
        raise IndexSpecError(f"{key}={value} is too small: it must be at least {low}")


def within(key: str, value: int | None, low: int, high: int) -> None:
    """Refuses a number outside ``low .. high``; None (chosen from the data) passes.

    Raises:
        IndexSpecError: ``value`` is outside.
    """
    if value is not None and not low <= value <= high:
        nearest = min(max(value, low), high)
        raise IndexSpecError(f"{key}={value} is outside {low} .. {high}: the nearest possible value is {nearest}")
