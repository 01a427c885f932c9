"""The search: candidates in turn, each tuned and measured, the best measured again on fresh queries."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tt_hydra.errors import BudgetError
from tt_hydra.index.budget import Budget
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.choice import GOAL, TIE, falls_short, goal_of, ranked, reason, refusal, unbuilt
from tt_hydra.index.tune.judge import Built, Judge, Point, judge_quality
from tt_hydra.index.tune.measure import Meter
from tt_hydra.index.tune.workshop import Workshop
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq
from tt_hydra.quantization.scalar import Scalar

logger = logging.getLogger(__name__)

FINALISTS = 3
ATTEMPTS = 3
"""Times that the goal is raised by what the winner lacked on fresh queries."""
AIM = 0.9
"""Share of the latency limit that is aimed at."""
FAR = 2.0
"""Ratio of latencies from which on a rival is better by far."""
RELAXED_S = 40.0
"""Seconds from the start of a search after which nothing more is built for a refusal: the answer is due within a minute."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was not built."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came out.

    Attributes:
        index: the chosen index, whose own search parameters are the tuned ones.
        winner: its point, as measured on fresh queries.
        points: all points, the winner among them.
        skipped: candidates that were not built.
        seconds: that it took.
        curse: recall on the queries for tuning less that on fresh ones.
        reason: why the winner is the winner.
    """

    index: FaissIndex
    winner: Point
    points: Sequence[Point]
    skipped: Sequence[Skipped]
    seconds: float
    curse: float
    reason: str


@dataclass(slots=True)
class Tuner:
    """Looks for the best of some candidates.

    Attributes:
        workshop: builds.
        judge: measures.
        budget: what is to be kept.
        seconds: after which nothing further is built.
        relaxed: candidates beyond the budget, for the case that it cannot be met.
    """

    workshop: Workshop
    judge: Judge
    budget: Budget
    seconds: float
    relaxed: Sequence[Candidate] = ()
    skipped: list[Skipped] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)
    _built: list[Built] = field(default_factory=list)
    _lack: float = 0.0

    def run(self, candidates: Sequence[Candidate]) -> Tuned:
        """Builds, tunes and chooses.

        Raises:
            BudgetError: no candidate keeps the budget.
        """
        meter = Meter(self.judge, self._started + self.seconds)
        for candidate in candidates:
            self._try(candidate, meter)
        for _ in range(ATTEMPTS):
            self._refine(meter)
            chosen = self._finals(meter)
            if chosen is not None:
                return self._tuned(chosen, meter)
        if not self._built:
            self._build_quickest(candidates, meter)
        self._relax(meter)
        if not meter.points:
            raise self._unbuilt(candidates)
        chosen = self._finals(meter)
        if chosen is not None:  # its estimate was beyond the limit, its files are not
            return self._tuned(chosen, meter)
        raise refusal(meter.points, self.budget, self._size)

    @property
    def _size(self) -> int:
        return len(self.workshop.vectors)

    @property
    def _with_room(self) -> Budget:
        """The budget with a shorter time, as no two measurements of the same search are equal."""
        limit = self.budget.latency_p99_ms
        return replace(self.budget, latency_p99_ms=None if limit is None else AIM * limit)

    @property
    def _aim(self) -> Budget:
        """What is looked for on the queries for tuning."""
        recall = self.budget.recall_vs_exact
        return replace(self._with_room, recall_vs_exact=None if recall is None else min(1.0, recall + self._lack))

    def _try(self, candidate: Candidate, meter: Meter) -> None:
        why = self._against(candidate, meter)
        if why:
            self.skipped.append(Skipped(candidate, why))
            logger.info("  %-34s not built: %s", candidate.name(), why)
            return
        built = self.workshop.build(candidate)
        self._built.append(built)
        limit = self.budget.bytes_limit(self._size)
        if limit is not None and built.bytes_per_item > limit:
            meter.point(built, built.index.search_params if built.index is not None else {})
        else:
            meter.climb(built, goal_of(self.budget), self._aim.latency_p99_ms)
        for point in meter.of(built):
            logger.info("  %-46s %s", built.candidate.name(point.params), _figures(point))
        self._drop_beaten(meter)

    def _against(self, candidate: Candidate, meter: Meter) -> str:
        """What speaks against building, or nothing."""
        left = self._started + self.seconds - time.perf_counter()
        needed = self.workshop.seconds(candidate)
        if self.budget.build_s is not None and needed > 2 * self.budget.build_s:
            return f"building it takes some {needed:.0f} s, budget.build_s={self.budget.build_s:g}"
        remaining = self.workshop.remaining(candidate)
        if remaining > left and self._built:
            return f"building it takes some {remaining:.0f} s, index.seconds leaves {max(left, 0):.0f}"
        return self._too_slow(candidate, meter) or self._worse_kin(candidate, meter)

    def _too_slow(self, candidate: Candidate, meter: Meter) -> str:
        """A measured exhaustive index of as many dimensions whose median alone is over the latency limit, by far or with quicker codes."""
        limit = self.budget.latency_p99_ms
        if limit is None or not _exhaustive(candidate):
            return ""
        slower = isinstance(candidate.quantization, Scalar | Binary)
        for point in meter.points:
            kin = point.built.candidate
            if _exhaustive(kin) and kin.prefix_dim == candidate.prefix_dim and point.p50_ms > limit * (1 if slower else FAR):
                return f"comparing every item takes too long: {kin.name()} {point.p50_ms:.3g} ms, budget.latency_p99_ms={limit:g}"
        return ""

    def _worse_kin(self, candidate: Candidate, meter: Meter) -> str:
        """A built index of the same kind with finer codes that keeps the budget, or that others beat at no more bytes than this takes."""
        size = candidate.bytes_per_item(self._size, self.workshop.vectors.shape[1])
        rivals = self._rivals(meter, size)
        for kin in self._built:
            points = meter.of(kin)
            if not kin.candidate.finer(candidate) or not points:
                continue
            if self.budget.costs and not any(self._aim.costs_missed(point.figures(self._size)) for point in points):
                return f"{kin.candidate.name()} is finer and keeps the limits"
            if all(any(_beats(rival, point) for rival in rivals) for point in points):
                return f"{kin.candidate.name()} is beaten by far"
        return ""

    def _drop_beaten(self, meter: Meter) -> None:
        """Lets go of indexes whose every setting another one beats by far at no more bytes: they cannot win any more."""
        for built in self._built:
            rivals = self._rivals(meter, built.bytes_per_item)
            if built.index is not None and all(any(_beats(rival, point) for rival in rivals) for point in meter.of(built)):
                judge_quality(meter.of(built), self.judge)  # the front shows it beside that of the others
                built.index = None

    def _rivals(self, meter: Meter, size: float) -> list[Point]:
        """The points of indexes of at most so many bytes an item; one that takes too long to build is nobody's rival."""
        longest = self.budget.build_s
        points = [point for point in meter.points if point.built.bytes_per_item <= size]
        return [point for point in points if longest is None or point.built.build_s <= longest]

    def _refine(self, meter: Meter) -> None:
        """Looks for the settings between those that were measured."""
        aim = self._aim
        alive = [built for built in self._built if built.index is not None]
        if aim.latency_p99_ms is not None:
            for built in alive:
                meter.most_effort(built, aim.latency_p99_ms)
        kept = ranked(meter.points, aim, self._size)
        if not kept:
            return
        wanted = max(point.recall.value for point in kept) - TIE if self.budget.costs else min(goal_of(self.budget), kept[0].recall.value)
        for built in alive:
            if any(point.built is built and point.recall.value >= wanted for point in kept):
                meter.least_effort(built, wanted)

    def _finals(self, meter: Meter) -> Point | None:
        """Measures the best points again, and gives the first that keeps the budget on fresh queries too, if it can with room to spare."""
        left = [point for point in meter.points if point.tuned is None and point.built.index is not None]
        kept = ranked(left, self._aim, self._size) or ranked(left, self.budget, self._size)
        finalists: list[Point] = []
        for point in kept:
            if len(finalists) < FINALISTS and all(point.built is not other.built for other in finalists):
                finalists.append(point)
        if not finalists:
            return None
        meter.again(finalists)
        lacking = [(self.budget.recall_vs_exact or 0.0) - point.recall.value for point in finalists]
        self._lack += max(0.0, min(lacking))
        for point in finalists:
            if self.judge.resident is not None and point.built.resident_bytes_per_item is None:
                point.built.resident_bytes_per_item = self.workshop.memory(point.built, self.judge.resident)
        final = [point for point in meter.points if point.tuned is not None]
        return next(iter(ranked(final, self._with_room, self._size) or ranked(final, self.budget, self._size)), None)

    def _tuned(self, winner: Point, meter: Meter) -> Tuned:
        built, params = winner.built, winner.params
        assert built.index is not None
        own = built.candidate.tuned(params)
        index = built.index.tuned(own.spec, own.quantization, params)
        curse = winner.first.recall.value - winner.recall.value
        told = "%s: recall %.4f (%.4f-%.4f) on fresh queries, %.4f more on those it was tuned on; p99 %.3f ms, %.1f bytes an item"
        recall = winner.recall
        logger.info(told, built.candidate.name(params), recall.value, recall.low, recall.high, curse, winner.p99_ms, built.bytes_per_item)
        why = reason(self.budget, winner)
        logger.info("  why: %s", why)
        if falls_short(self.budget, winner):
            told = "index=auto: the chosen index keeps a recall of %.3f against exact search over all dimensions, less than %g: %s"
            logger.warning(told, recall.value, GOAL, "quantization, prefix_dim, index.families and index.seconds bound what is tried")
        return Tuned(
            index=index,
            winner=winner,
            points=meter.points,
            skipped=self.skipped,
            seconds=time.perf_counter() - self._started,
            curse=curse,
            reason=why,
        )

    def _build_quickest(self, candidates: Sequence[Candidate], meter: Meter) -> None:
        """Builds what takes least where the limit on building let nothing be built, so that the refusal can name the price."""
        quickest = min(candidates, key=self.workshop.seconds, default=None)
        if quickest is not None and self.workshop.seconds(quickest) < RELAXED_S:
            self._built.append(self.workshop.build(quickest))
            meter.climb(self._built[-1], goal_of(self.budget), self._aim.latency_p99_ms)

    def _unbuilt(self, candidates: Sequence[Candidate]) -> BudgetError:
        """The refusal where even the candidate nearest to the budget takes too long to be measured: its estimate is the price."""
        if candidates:
            quickest = min(candidates, key=self.workshop.seconds)
            return unbuilt(self.budget, ("build_s",), quickest, self.workshop.seconds(quickest))
        size = self.relaxed[0].bytes_per_item(self._size, self.workshop.vectors.shape[1])
        return unbuilt(self.budget, ("bytes_per_item", "bytes_total"), self.relaxed[0], size)

    def _relax(self, meter: Meter) -> None:
        """Builds beyond the limit on bytes until something keeps the other limits, so that the refusal can name the price."""
        others = replace(self.budget, bytes_per_item=None, bytes_total=None)
        meter.deadline = self._started + RELAXED_S
        for candidate in self.relaxed:
            if time.perf_counter() > meter.deadline or ranked(meter.points, others, self._size):
                return
            if self.workshop.seconds(candidate) < meter.deadline - time.perf_counter():
                built = self.workshop.build(candidate)
                self._built.append(built)
                meter.climb(built, others.recall_vs_exact or goal_of(others), others.latency_p99_ms)


def _exhaustive(candidate: Candidate) -> bool:
    """Whether it compares the query with every vector, dimension by dimension."""
    return candidate.family == "flat" and not isinstance(candidate.quantization, Pq | Opq | Pca)


def _beats(rival: Point, point: Point) -> bool:
    return rival.recall.value >= point.recall.value + TIE and FAR * rival.p99_ms <= point.p99_ms


def _figures(point: Point) -> str:
    return (
        f"recall {point.recall.value:.4f}  p50 {point.p50_ms:.3f}  p99 {point.p99_ms:.3f} ms  "
        f"{point.built.bytes_per_item:.1f} bytes an item  built in {point.built.build_s:.1f} s"
    )
