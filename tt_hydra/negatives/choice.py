"""Draws without replacement for many queries at once."""

from __future__ import annotations

import numpy as np

from tt_hydra.contracts import IntArray


def without_replacement(widths: IntArray, counts: IntArray, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
    """For each row, ``counts`` distinct numbers below ``widths``, every set of them equally likely; all of them where there are fewer.

    Floyd's algorithm (Bentley and Floyd 1987), one number of all rows at a time: the work does not grow with the widths.

    Args:
        widths: ``(rows,)`` how many there are to choose from.
        counts: ``(rows,)`` how many are wanted.
        generator: the only source of randomness.

    Returns:
        Row, ascending, and number of each draw.
    """
    counts = np.minimum(counts, widths)
    most = int(counts.max(initial=0))
    chosen = np.full((len(widths), most), -1, np.int64)
    for turn in range(most):
        highest = widths - counts + turn
        number = (generator.random(len(widths)) * (highest + 1)).astype(np.int64)
        again = (chosen[:, :turn] == number[:, None]).any(axis=1)
        chosen[:, turn] = np.where(again, highest, number)
    row, turn_of = np.nonzero(np.arange(most) < counts[:, None])
    return row, chosen[row, turn_of]
