"""How long requests take, phase by phase."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

PHASES = ("tower", "search", "merge", "total")
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in seconds."""
KEPT = 4096
"""Requests that percentiles look back on."""
AGE = 600.0
"""Seconds that percentiles look back on."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class PhaseLatency:
    """One phase: a histogram since the start, and percentiles of what was last."""

    def __init__(self) -> None:
        self.buckets = np.zeros(len(BOUNDS) + 1, np.int64)
        self.sum = 0.0
        self._times = np.full(KEPT, -np.inf)
        self._seconds = np.zeros(KEPT)
        self._next = 0

    def add(self, seconds: Sequence[float], now: float) -> None:
        """Counts requests of one moment."""
        values = np.asarray(seconds, np.float64)
        self.buckets += np.bincount(np.searchsorted(BOUNDS, values, side="left"), minlength=len(BOUNDS) + 1)
        self.sum += float(values.sum())
        places = (self._next + np.arange(len(values))) % KEPT
        self._times[places], self._seconds[places] = now, values
        self._next = int((self._next + len(values)) % KEPT)

    def recent(self, now: float) -> dict[str, float]:
        """Percentiles in milliseconds and the number of requests behind them; empty where there was none lately."""
        values = self._seconds[self._times > now - AGE]
        if not len(values):
            return {}
        found = np.percentile(values, [100 * share for share in QUANTILES.values()]) * 1000
        return {**dict(zip(QUANTILES, found.tolist(), strict=True)), "count": len(values)}

    def forget(self) -> None:
        """Another version is served: percentiles start anew, the histogram goes on."""
        self._times[:] = -np.inf


class Latencies:
    """All phases."""

    def __init__(self) -> None:
        self.phases = {name: PhaseLatency() for name in PHASES}

    def add(self, requests: Sequence[Mapping[str, float]], now: float | None = None) -> None:
        """Counts requests by the seconds of their phases; a phase that a request did not have is not counted."""
        moment = time.time() if now is None else now
        for name, phase in self.phases.items():
            seconds = [request[name] for request in requests if name in request]
            if seconds:
                phase.add(seconds, moment)

    def recent(self, now: float) -> dict[str, dict[str, float]]:
        """Percentiles of each phase that there was lately."""
        found = {name: phase.recent(now) for name, phase in self.phases.items()}
        return {name: figures for name, figures in found.items() if figures}

    def forget(self) -> None:
        """Percentiles start anew."""
        for phase in self.phases.values():
            phase.forget()
