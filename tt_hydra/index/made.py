"""Parts that indexes over the same vectors share, made once: rotations, centroids, graphs."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Made:
    """Parts by what they were made of; a part that is used again counts with the seconds that it took.

    Args:
        kept: whether parts are kept for another index; false where there will be none.

    Attributes:
        borrowed_s: seconds of work that indexes were spared so far.
    """

    def __init__(self, kept: bool = True) -> None:
        self.kept = kept
        self.borrowed_s = 0.0
        self._parts: dict[Hashable, tuple[Any, float]] = {}

    def part(self, key: Hashable, make: Callable[[], T]) -> T:
        """The part of that key, made now unless there is one."""
        if key in self._parts:
            value, seconds = self._parts[key]
            self.borrowed_s += seconds
        else:
            started = time.perf_counter()
            value = make()
            if self.kept:
                self._parts[key] = (value, time.perf_counter() - started)
        found: T = value
        return found
