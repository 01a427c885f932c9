"""Which points no other one beats in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray

_ROWS_AT_A_TIME = 512
"""Rows compared with all others at once; bounds memory."""


def dominated(costs: npt.NDArray[np.float64]) -> BoolArray:
    """True for each row of ``costs (points, criteria)``, lower being better, to which another is nowhere worse and somewhere better."""
    beaten = np.zeros(len(costs), np.bool_)
    for start in range(0, len(costs), _ROWS_AT_A_TIME):
        rows = costs[start : start + _ROWS_AT_A_TIME, None]
        better = np.all(costs[None] <= rows, axis=2) & np.any(costs[None] < rows, axis=2)
        beaten[start : start + _ROWS_AT_A_TIME] = better.any(axis=1)
    return beaten


def on_front(costs: Sequence[Sequence[float]]) -> BoolArray:
    """True for each row of ``costs (points, criteria)``, lower being better, that no other row dominates; of equal rows for the first."""
    if not len(costs):
        return np.zeros(0, np.bool_)
    values = np.asarray(costs, dtype=np.float64)
    front = np.zeros(len(values), np.bool_)
    front[np.unique(values, axis=0, return_index=True)[1]] = True
    return front & ~dominated(values)
