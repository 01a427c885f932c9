"""The turning point of a property that holds from some number on."""

from __future__ import annotations

import math
from collections.abc import Callable

PRECISION = 1.1
"""Ratio of the two numbers around the turning point that is fine enough."""


def smallest(holds: Callable[[int], bool], low: int, high: int, precision: float = PRECISION) -> int:
    """A number for which ``holds``, at most ``precision`` times the smallest one between ``low`` and ``high``.

    Args:
        holds: false up to some number, true from it on; true for ``high``, and never asked about it.
        low: the least number that may be asked about, at least 1.
        high: the largest.
        precision: 1 asks until the very smallest is found.
    """
    if low >= high or holds(low):
        return min(low, high)
    while high - low > 1 and high > low * precision:
        middle = min(max(round(math.sqrt(low * high)), low + 1), high - 1)
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
