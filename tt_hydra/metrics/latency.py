"""Latency of single calls, one after the other."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray

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

    A call in which the system took the processor away to run something else is timed once more, so that the figures are of the call,
    not of its neighbours; where most calls are disturbed, all count as they are. The caller sets the number of threads
    (``index.threads.single_thread``) and says so beside the figures.

    Raises:
        ValueError: ``count`` is not positive.
    """
    return measure_in_turns([call], count, warm_up=warm_up)[0]


def measure_in_turns(calls: Sequence[Callable[[int], object]], count: int, *, warm_up: int = WARM_UP) -> list[Latency]:
    """The same of several things that shall be compared: each number goes to all of them before the next number goes to any.

    Raises:
        ValueError: ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f"latency needs at least one call, got {count}")
    for number in range(warm_up):
        for call in calls:
            call(number % count)
    milliseconds = np.empty((len(calls), count))
    disturbed = np.zeros((len(calls), count), np.bool_)
    for number in range(count):
        for place, call in enumerate(calls):
            milliseconds[place, number], disturbed[place, number] = _timed(call, number)
    for place, number in np.argwhere(disturbed).tolist():
        again, disturbed[place, number] = _timed(calls[place], number)
        milliseconds[place, number] = min(again, milliseconds[place, number])
    return [_summary(*each, warm_up) for each in zip(milliseconds, disturbed, strict=True)]


def _summary(milliseconds: npt.NDArray[np.float64], disturbed: BoolArray, warm_up: int) -> Latency:
    count = len(milliseconds)
    counted = milliseconds[~disturbed] if 2 * disturbed.sum() < count else milliseconds
    p50, p95, p99 = np.percentile(counted, [50, 95, 99])
    return Latency(p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99), calls=count, warm_up=warm_up)


def _timed(call: Callable[[int], object], number: int) -> tuple[float, bool]:
    """Milliseconds of a call, and whether the system interrupted it."""
    before = _interruptions()
    started = time.perf_counter_ns()
    call(number)
    taken = (time.perf_counter_ns() - started) / 1e6
    return taken, _interruptions() > before


def _interruptions() -> int:
    """How often this thread was made to wait for another; 0 where the system does not tell."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw if hasattr(resource, "RUSAGE_THREAD") else 0
