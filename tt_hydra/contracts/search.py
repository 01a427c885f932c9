"""What comes out of an index, and figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tt_hydra.contracts.features import BoolArray, FloatArray, IntArray, Metric


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best items of each query, best first.

    Attributes:
        scores: ``(queries, k)`` float32, higher is better, -inf where fewer than k items are left.
        rows: ``(queries, k)`` int64 catalogue rows, -1 where fewer than k items are left.
    """

    scores: FloatArray
    rows: IntArray


class VectorIndex(Protocol):
    """An immutable nearest-neighbour index over the rows of a matrix."""

    @property
    def size(self) -> int:
        """Number of indexed rows."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors that it takes."""

    @property
    def metric(self) -> Metric:
        """Similarity that its scores are."""

    @property
    def search_params(self) -> Mapping[str, int]:
        """Search parameters that it takes, with their defaults (``{"efSearch": 64}``); empty for an exact index."""

    def search(
        self, queries: FloatArray, k: int, params: Mapping[str, int] | None = None, allowed: BoolArray | None = None
    ) -> SearchResult:
        """The k best rows of each query among the allowed ones.

        Args:
            queries: ``(queries, dim)``.
            k: how many; may exceed ``size``.
            params: values for some of ``search_params``, for this call only.
            allowed: ``(size,)`` bool, rows that may be returned; None for all.
        """

    def save(self, folder: Path) -> None:
        """Writes it under an existing folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PerQuery:
    """A metric's value for each query, the raw material of intervals and paired comparisons."""

    query_ids: Sequence[str]
    values: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What an index at one setting did for one set of queries, at one time.

    Attributes:
        recall: recall@10 against exact search over all dimensions, with its interval.
        p50_ms: single-query search time, one thread, milliseconds; so are ``p95_ms`` and ``p99_ms``.
    """

    recall: Estimate
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """One index at one setting of its search parameters, as measured; a row of ``frontier.parquet``.

    Recall and times of all points are of the same queries, those that settings were tuned on, so that points can be held against each
    other. The choice is made among the few of ``fresh``.

    Attributes:
        name: what a person reads, ``hnsw M=16 int8 efSearch=64``.
        overrides: what makes this very index on the command line, ``index=hnsw index.M=16 index.efSearch=64 quantization=int8``.
        family: kind of index, ``flat``, ``ivf`` or ``hnsw``.
        quantization: how it stores vectors, ``none``, ``int8`` ...
        dim: dimensions that are searched: fewer than the towers' where the index keeps a prefix.
        recall: recall@10 against exact search over all dimensions, with its interval, on the validation queries for tuning.
        quality: ``valid/index/recall@10``, against labels, on all validation queries; None where there are none.
        p50_ms: single-query search time for those, one thread, milliseconds; so are ``p95_ms`` and ``p99_ms``.
        fresh: the same of a finalist, measured again on the other validation queries (columns ``fresh_recall``, ``fresh_p99_ms`` ...);
            None for all others.
        bytes_per_item: of the saved files.
        resident_bytes_per_item: of memory, in a fresh process; None where it was not measured.
        build_s: seconds to build.
        meets: whether it keeps the budget; a finalist by ``fresh``.
        on_front: whether no other point is at least as good in quality (recall where there are no labels), p99 and bytes at once.
        chosen: whether it is the index of this run.
        reason: why it was chosen, or what speaks against it.
    """

    name: str
    overrides: str
    family: str
    quantization: str
    dim: int
    recall: Estimate
    quality: float | None = None
    p50_ms: float
    p95_ms: float
    p99_ms: float
    fresh: Measurement | None = None
    bytes_per_item: float
    resident_bytes_per_item: float | None = None
    build_s: float
    meets: bool = True
    on_front: bool = False
    chosen: bool = False
    reason: str = ""
