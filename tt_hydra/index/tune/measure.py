"""Measures built indexes at settings of their search parameters, and looks for the settings worth having."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tt_hydra.contracts import Estimate
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.threads import single_thread
from tt_hydra.index.tune.bisection import smallest
from tt_hydra.index.tune.judge import Built, Judge, Point, Questions

K = 10
ROUNDS, FINAL_ROUNDS = 3, 9
"""Rounds of timing, of which the median counts: a neighbour's work spoils one, not most."""
CALLS, ROUND_SECONDS = 100, 0.25
"""Single queries of a round, fewer where they take longer than this; and at least ``LEAST``."""
LEAST = 20
WARM_UP = 10
Times = tuple[float, float, float]
START = {"nprobe": 2, "efSearch": 16}
GAIN = 0.0005
"""Recall that twice the effort must bring for more of it to be tried."""
FULL = 0.9995
"""Recall that is as good as exact."""
MOST_RESCORED = 100


class Meter:
    """Keeps every point that it measures.

    Args:
        judge: how recall and latency are measured.
        deadline: ``time.perf_counter()`` after which no further setting is begun.
    """

    def __init__(self, judge: Judge, deadline: float) -> None:
        self.judge, self.deadline = judge, deadline
        self.points: list[Point] = []

    def recall(self, built: Built, params: Mapping[str, int], questions: Questions | None = None) -> Estimate:
        """Recall at a setting, on the queries for tuning unless others are given."""
        asked = questions or self.judge.tune
        return asked.recall(_index(built).search(asked.queries, K, params))

    def point(self, built: Built, params: Mapping[str, int]) -> Point:
        """The setting, measured now unless it was before."""
        known = next((point for point in self.points if point.built is built and point.params == params), None)
        if known is None:
            p50, p95, p99 = median_times([self._caller(built, params)], self.judge, ROUNDS)[0]
            known = Point(built, dict(params), self.recall(built, params), p50, p95, p99)
            self.points.append(known)
        return known

    def of(self, built: Built) -> list[Point]:
        """The points of a built index, in order of effort."""
        return sorted((point for point in self.points if point.built is built), key=lambda point: tuple(point.params.values()))

    def climb(self, built: Built, goal: float, slowest_ms: float | None) -> list[Point]:
        """Doubles the effort until recall reaches ``goal``, stops growing, or a query takes longer than ``slowest_ms``."""
        index = _index(built)
        params = dict(index.search_params)
        if params.get("refine"):
            params["refine"] = self._rescored(built, params)
        name = next((name for name in START if name in params), None)
        if name is None:
            return [self.point(built, params)]
        value, most, reached = START[name], largest(built, name), -1.0
        while True:
            value = min(value, most)
            point = self.point(built, {**params, name: value})
            slow = slowest_ms is not None and point.p99_ms > slowest_ms
            enough = point.recall.value >= min(goal, FULL) or point.recall.value - reached < GAIN
            if enough or slow or value == most or time.perf_counter() > self.deadline:
                return self.of(built)
            reached, value = point.recall.value, 2 * value

    def least_effort(self, built: Built, wanted: float) -> Point | None:
        """The quickest setting whose recall is ``wanted`` or more, by bisection between measured points; None if none is known."""
        points = self.of(built)
        reaching = [point for point in points if point.recall.value >= wanted]
        if not reaching:
            return None
        name = next((name for name in START if name in reaching[0].params), None)
        if name is None:
            return reaching[0]
        high = min(reaching, key=lambda point: point.params[name])
        low = max((point.params[name] for point in points if point.params[name] < high.params[name]), default=1)
        rest = dict(high.params)
        value = smallest(lambda number: self.recall(built, {**rest, name: number}).value >= wanted, low, high.params[name])
        return self.point(built, {**rest, name: value})

    def most_effort(self, built: Built, slowest_ms: float) -> Point | None:
        """The most thorough setting that takes no longer than ``slowest_ms``, by bisection; None if none is known."""
        points = self.of(built)
        quick = [point for point in points if point.p99_ms <= slowest_ms]
        slow = [point for point in points if point.p99_ms > slowest_ms]
        name = None if not quick else next((name for name in START if name in quick[0].params), None)
        if not quick or name is None or not slow:
            return max(quick, key=lambda point: point.recall.value, default=None)
        best = max(quick, key=lambda point: point.params[name])
        high = min((point.params[name] for point in slow if point.params[name] > best.params[name]), default=None)
        if high is not None:
            rest = dict(best.params)
            smallest(lambda number: self.point(built, {**rest, name: number}).p99_ms > slowest_ms, best.params[name], high, 1.25)
        return max((point for point in self.of(built) if point.p99_ms <= slowest_ms), key=lambda point: point.recall.value)

    def again(self, points: Sequence[Point]) -> None:
        """Measures points once more, on fresh queries and in turns; what they had before stays beside it."""
        callers = [self._caller(point.built, point.params, self.judge.fresh) for point in points]
        for point, (p50, p95, p99) in zip(points, median_times(callers, self.judge, FINAL_ROUNDS), strict=True):
            point.tuned = point.last
            point.p50_ms, point.p95_ms, point.p99_ms = p50, p95, p99
            point.recall = self.recall(point.built, point.params, self.judge.fresh)

    def _rescored(self, built: Built, params: Mapping[str, int]) -> int:
        """Candidates to rescore, at a fair number of lists: as few as give all that rescoring can."""
        wide = {**params, **({"nprobe": max(1, largest(built, "nprobe") // 4)} if "nprobe" in params else {})}
        wanted = self.recall(built, {**wide, "refine": MOST_RESCORED}).value - GAIN
        return smallest(lambda number: self.recall(built, {**wide, "refine": number}).value >= wanted, 2, MOST_RESCORED, 1.3)

    def _caller(self, built: Built, params: Mapping[str, int], questions: Questions | None = None) -> Callable[[int], object]:
        index, queries = _index(built), (questions or self.judge.tune).queries
        return lambda number: index.search(queries[number % len(queries)][None], K, params)


def median_times(callers: Sequence[Callable[[int], object]], judge: Judge, rounds: int) -> list[Times]:
    """Percentiles (50, 95, 99) of each caller in milliseconds, the callers taking turns; the median of the rounds."""
    taken: list[list[Times]] = [[] for _ in callers]
    with single_thread():
        for number in range(rounds):
            for caller, found in zip(callers, taken, strict=True):
                calls = CALLS if not found else max(LEAST, min(CALLS, int(1000 * ROUND_SECONDS / max(found[0][0], 1e-6))))
                timing = judge.latency(partial(_shifted, caller, number * CALLS), calls, WARM_UP)
                found.append((timing.p50_ms, timing.p95_ms, timing.p99_ms))
    return [_medians(found) for found in taken]


def _shifted(caller: Callable[[int], object], offset: int, call: int) -> object:
    return caller(offset + call)


def _medians(found: Sequence[Times]) -> Times:
    p50, p95, p99 = (statistics.median(column) for column in zip(*found, strict=True))
    return p50, p95, p99


def largest(built: Built, name: str) -> int:
    """The largest sensible value of a search parameter."""
    index = _index(built)
    return int(getattr(built.candidate.spec, "nlist", None) or index.size) if name == "nprobe" else index.size


def _index(built: Built) -> FaissIndex:
    assert built.index is not None
    return built.index
