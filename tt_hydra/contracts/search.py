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
