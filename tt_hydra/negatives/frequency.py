"""How often items occur, as a distribution in which nothing is impossible."""

from __future__ import annotations

import numpy as np

from tt_hydra.contracts import FloatArray

UNSEEN = 0.5
"""An item that was never seen counts as this part of the rarest item that was."""


def log_share(counts: FloatArray, power: float = 1.0) -> FloatArray:
    """Log of the normalised ``counts ** power``; counts that are seen keep their exact ratios, whatever the size of the tail.

    Args:
        counts: ``(num_items,)``, not negative; all zero gives the uniform distribution.
        power: 1 for the share itself, below 1 to flatten it.
    """
    exact = counts.astype(np.float64)
    seen = exact > 0
    floor = UNSEEN * exact[seen].min() if seen.any() else 1.0
    logs = power * np.log(np.where(seen, exact, floor))
    peak = logs.max(initial=-np.inf)
    shares: FloatArray = (logs - peak - np.log(np.exp(logs - peak).sum())).astype(np.float32)
    return shares
