"""How often items occur, as a distribution in which nothing is impossible."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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


def log_presence(log_probability: FloatArray, draws: float) -> FloatArray:
    """Log probability that an item is among ``draws`` draws with replacement: ``log(1 - (1 - p) ** draws)``.

    Args:
        log_probability: ``(items,)`` log of p, the probability of one draw.
        draws: how many; a part of one is allowed.
    """
    rate = -np.log1p(-np.minimum(np.exp(log_probability, dtype=np.float64), 1 - 1e-12))
    presence: FloatArray = np.log(-np.expm1(-draws * rate)).astype(np.float32)
    return presence


def log_marginal(log_probability: FloatArray, draws: int) -> FloatArray:
    """Log probability that one of ``draws`` draws without replacement, chosen at random, gives each item.

    Items drawn one after the other, each in proportion to its probability among those that are left, are the first arrivals of a race
    in which item i takes an exponential time of rate p_i. Ended at a time t that lets ``draws`` items arrive on average, item i is
    there with probability ``1 - exp(-p_i t)`` (Rosen 1997; the error falls with the number of draws). That divided by ``draws`` is
    what this returns: with few draws it is ``log p_i``, and where everything is drawn it is the same for all.

    Args:
        log_probability: ``(num_items,)`` of the first draw.
        draws: at most ``num_items``.
    """
    if draws >= len(log_probability):
        return np.full(len(log_probability), -np.log(len(log_probability)), np.float32)
    rate = np.exp(log_probability, dtype=np.float64)
    present = -np.expm1(-rate * _ending(rate, draws))
    marginal: FloatArray = np.log(present / draws).astype(np.float32)
    return marginal


def _ending(rate: npt.NDArray[np.float64], arrivals: int) -> float:
    """The time at which ``arrivals`` items have arrived on average: Newton's method from below, on an increasing concave function."""
    time = float(arrivals)
    for _ in range(200):
        left = np.exp(-rate * time)
        step = (arrivals - (1 - left).sum()) / (rate @ left)
        time += step
        if step <= 1e-9 * time:
            break
    return time
