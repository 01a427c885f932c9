"""Intervals and tails of shares."""

from __future__ import annotations

import math
from statistics import NormalDist

from tt_hydra.contracts import Estimate

LEVEL = 0.95


def wilson(hits: float, trials: int, level: float = LEVEL) -> Estimate:
    """A share with its Wilson score interval (Wilson, "Probable inference", JASA 1927); 0 to 1 where nothing was tried.

    Args:
        hits: of the trials; a fraction where each trial is itself a share.
        trials: how many.
        level: of the interval, both sides.

    Raises:
        ValueError: more hits than trials, or fewer than none.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"a share needs 0 to {trials} hits, got {hits}")
    if not trials:
        return Estimate(value=1.0, low=0.0, high=1.0)
    share, z = hits / trials, NormalDist().inv_cdf((1 + level) / 2)
    centre = share + z * z / (2 * trials)
    width = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    return Estimate(value=share, low=max(0.0, (centre - width) / scale), high=min(1.0, (centre + width) / scale))


def binomial_tail(hits: int, trials: int, share: float) -> float:
    """Probability that so many trials have ``hits`` or more, each with probability ``share``."""
    if hits <= 0:
        return 1.0
    if not 0 < share < 1:
        return float(share >= 1)
    if hits > trials * share + 50 * math.sqrt(trials * share) + 50:
        return 0.0
    odds = math.log(share) - math.log1p(-share)
    term = _log_probability(hits, trials, share)
    terms = [term]
    for count in range(hits, trials):
        term += math.log((trials - count) / (count + 1)) + odds
        terms.append(term)
        if count > trials * share and term < max(terms[0], terms[-2]) - 40:
            break
    largest = max(terms)
    return min(1.0, math.exp(largest) * math.fsum(math.exp(each - largest) for each in terms))


def _log_probability(hits: int, trials: int, share: float) -> float:
    ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return ways + hits * math.log(share) + (trials - hits) * math.log1p(-share)
