"""Latency of single calls, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WARM_UP = 50
"""Calls made and not counted before those that are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Percentiles of wall-clock time in milliseconds, and how they came about."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    calls: int
    warm_up: int


def measure_latency(call: Callable[[int], object], count: int, *, warm_up: int = WARM_UP) -> Latency:
    """Times ``call(0) ... call(count - 1)``, each alone, after ``warm_up`` calls of the first numbers that are not counted.

    The caller sets the number of threads (``index.threads.single_thread``) and says so beside the figures.

    Raises:
        ValueError: ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"latency needs at least one call, got {count}")
    for number in range(warm_up):
        call(number % count)
    milliseconds = np.empty(count)
    for number in range(count):
        started = time.perf_counter_ns()
        call(number)
        milliseconds[number] = (time.perf_counter_ns() - started) / 1e6
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99])
    return Latency(p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99), calls=count, warm_up=warm_up)
