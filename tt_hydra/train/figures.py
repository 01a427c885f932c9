"""Means of what the steps of an epoch record, kept on their device until somebody asks."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor


class Means:
    """Sums by name; a name need not come in every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """The scalars of one step."""
        for name, value in values.items():
            self._sums[name] = value.detach() + self._sums.get(name, 0.0)
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call; what is not finite is left out, but for the loss."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return {name: value for name, value in means.items() if name == "loss" or math.isfinite(value)}
