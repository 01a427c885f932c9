"""What an index may cost, and the recall that it must keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

RECALL_LIMIT = "recall_vs_exact"
"""The one limit from below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What the index may cost at most, and the recall it must keep; null leaves a limit out.

    Attributes:
        latency_p99_ms: 99th percentile of single-query search time, one thread, milliseconds.
        bytes_per_item: size of the index files per item.
        bytes_total: size of the index files.
        build_s: seconds to build the index.
        recall_vs_exact: recall@10 against exact search.
    """

    latency_p99_ms: float | None = None
    bytes_per_item: float | None = None
    bytes_total: float | None = None
    build_s: float | None = None
    recall_vs_exact: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits that are set."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    @property
    def costs(self) -> dict[str, float]:
        """The limits from above."""
        return {name: limit for name, limit in self.limits().items() if name != RECALL_LIMIT}

    def costs_missed(self, measured: Mapping[str, float | None]) -> bool:
        """Whether ``measured`` exceeds a limit from above."""
        return bool(self.missed(measured).keys() - {RECALL_LIMIT})

    def bytes_limit(self, size: int) -> float | None:
        """Bytes for each of ``size`` items that both limits on bytes allow."""
        limits = [self.bytes_per_item, None if self.bytes_total is None else self.bytes_total / size]
        return min((limit for limit in limits if limit is not None), default=None)

    def missed(self, measured: Mapping[str, float | None]) -> dict[str, tuple[float, float]]:
        """Limit and measurement of each limit that ``measured``, by the same names, does not keep; what was not measured keeps it."""
        found = {}
        for name, limit in self.limits().items():
            value = measured.get(name)
            if value is not None and (value < limit if name == RECALL_LIMIT else value > limit):
                found[name] = (limit, value)
        return found

    def told_missed(self, measured: Mapping[str, float | None]) -> list[str]:
        """The limits that ``measured`` does not keep, each in words."""
        return [f"budget.{name}={limit:g}, measured {value:.4g}" for name, (limit, value) in self.missed(measured).items()]
