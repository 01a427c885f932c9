"""What the search is given to judge an index by, and the index at one setting as it was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tt_hydra.contracts import Estimate, FloatArray, Measurement, SearchResult
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.tune.candidates import Candidate


class Timing(Protocol):
    """Percentiles of single calls."""

    @property
    def p50_ms(self) -> float:
        """Median."""

    @property
    def p95_ms(self) -> float:
        """95th percentile."""

    @property
    def p99_ms(self) -> float:
        """99th percentile."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Query vectors ``(queries, dim)`` and the recall@10 of what was found for them."""

    queries: FloatArray
    recall: Callable[[SearchResult], Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """How indexes are measured.

    Attributes:
        tune: queries that settings are chosen on.
        fresh: queries that the chosen ones are measured on again.
        latency: times ``call(0) ... call(count - 1)`` after some uncounted calls, on the threads that are set.
        quality: an index's recall@10 against labels; None where there are none.
        resident: bytes of memory that an index saved in a folder takes in a process of its own; None leaves that out.
    """

    tune: Questions
    fresh: Questions
    latency: Callable[[Callable[[int], object], int, int], Timing]
    quality: Callable[[FaissIndex], float] | None = None
    resident: Callable[[Path], float | None] | None = None


@dataclass(slots=True)
class Built:
    """A candidate that was built; ``index`` is let go once it is out of the race."""

    candidate: Candidate
    index: FaissIndex | None
    build_s: float
    bytes_per_item: float
    resident_bytes_per_item: float | None = None


@dataclass(slots=True)
class Point:
    """A built index at one setting of its search parameters, as it was measured last.

    Attributes:
        tuned: what was measured on the queries for tuning, where it has been measured again on fresh ones since; None where that is
            what ``recall`` and the times are.
    """

    built: Built
    params: Mapping[str, int]
    recall: Estimate
    p50_ms: float
    p95_ms: float
    p99_ms: float
    quality: float | None = None
    tuned: Measurement | None = None

    @property
    def last(self) -> Measurement:
        """The figures that were measured last."""
        return Measurement(recall=self.recall, p50_ms=self.p50_ms, p95_ms=self.p95_ms, p99_ms=self.p99_ms)

    @property
    def first(self) -> Measurement:
        """The figures on the queries for tuning, which every point has."""
        return self.tuned or self.last

    @property
    def costs(self) -> tuple[float, float, float]:
        """What is weighed against each other: quality (or recall), its sign turned, p99 and bytes; of the same queries for every point."""
        good = self.first.recall.value if self.quality is None else self.quality
        return -good, self.first.p99_ms, self.built.bytes_per_item

    def figures(self, size: int) -> dict[str, float]:
        """What a budget limits, by its names."""
        return {
            "latency_p99_ms": self.p99_ms,
            "bytes_per_item": self.built.bytes_per_item,
            "bytes_total": self.built.bytes_per_item * size,
            "build_s": self.built.build_s,
            "recall_vs_exact": self.recall.value,
        }


def judge_quality(points: Iterable[Point], judge: Judge) -> None:
    """Quality against labels of points whose index is still there."""
    for point in points:
        index = point.built.index
        if judge.quality is not None and index is not None:
            point.quality = judge.quality(index.tuned(index.spec, index.quantization, point.params))
