"""How the most important figures went over the last half hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from tt_hydra.contracts import Estimate

SECONDS = 10.0
POINTS = 180
COLUMNS = ("time", "requests_per_s", "p50", "p95", "p99", "recall", "recall_low", "recall_high", "drift")


class Series:
    """A point each ten seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float | None, ...]] = deque(maxlen=POINTS)
        self._last: tuple[float, int] | None = None

    def due(self, now: float) -> bool:
        """Whether it is time for another point."""
        return self._last is None or now - self._last[0] >= SECONDS

    def add(self, now: float, requests: int, latency: Mapping[str, float], recall: Estimate | None, drift: float | None) -> None:
        """Adds a point.

        Args:
            now: the time.
            requests: number of requests since the start.
            latency: percentiles of a whole request, milliseconds.
            recall: live recall.
            drift: largest statistic of the last checks, as a share of its threshold.
        """
        before, known = self._last or (now, requests)
        rate = (requests - known) / (now - before) if now > before else None
        self._last = now, requests
        shares = (None, None, None) if recall is None else (recall.value, recall.low, recall.high)
        self._points.append((now, rate, *(latency.get(name) for name in ("p50", "p95", "p99")), *shares, drift))

    def columns(self) -> dict[str, list[float | None]]:
        """The points by column, oldest first."""
        return {name: [point[place] for point in self._points] for place, name in enumerate(COLUMNS)}
