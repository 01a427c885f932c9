"""Which points no other one beats in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tt_hydra.contracts import BoolArray


def on_front(costs: Sequence[Sequence[float]]) -> BoolArray:
    """True for each row of ``costs (points, criteria)``, lower being better, that no other row dominates.

    A row dominates another if it is nowhere worse and somewhere better; of equal rows the first counts as better.
    """
    values = np.asarray(costs, dtype=np.float64)
    front = np.ones(len(values), np.bool_)
    for row, own in enumerate(values):
        no_worse = (values <= own).all(axis=1)
        better = (values < own).any(axis=1)
        equal_before = (values == own).all(axis=1) & (np.arange(len(values)) < row)
        front[row] = not (no_worse & (better | equal_before)).any()
    return front
