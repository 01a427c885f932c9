"""Watches a service while it serves: `LiveMonitor`.

Requests leave what is to be looked at in an inbox and go on. A thread empties it four times a second; exact searches and the
calibration and judging of drift run in threads of the lowest priority, whose queues refuse what comes when they are full.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tt_hydra.contracts import FloatArray, Health, Observed, Reference
from tt_hydra.monitor.background import Background
from tt_hydra.monitor.calibration import Verdict
from tt_hydra.monitor.latency import Latencies
from tt_hydra.monitor.metrics import Counts, Figures, WatchCollector
from tt_hydra.monitor.sampled import Sampled, added, picked
from tt_hydra.monitor.series import Series
from tt_hydra.monitor.settings import MonitorSettings
from tt_hydra.monitor.traffic import Row, TrafficWriter
from tt_hydra.monitor.watched import Watched
from tt_hydra.monitor.watches import DriftWatch

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of what `LiveMonitor.render` gives."""
INBOX = 20_000
"""Events that wait to be looked at; more are counted and left out."""
PERIOD = 0.25
"""Seconds between two looks into the inbox."""
CHORES = 64
"""Checks and files that may wait."""

logger = logging.getLogger(__name__)


class LiveMonitor:
    """An `Observer` for one process; safe for threads. Its methods return at once and never raise.

    Example:
        >>> from tt_hydra.monitor.live import LiveMonitor
        >>> monitor = LiveMonitor()
        >>> monitor.state()["requests"]
        0
        >>> monitor.close()
    """

    def __init__(self, settings: MonitorSettings | None = None, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Begins to watch.

        Args:
            settings: how closely.
            folder: for samples of the traffic; None keeps none.
            clock: seconds since 1970.
        """
        self.settings = settings or MonitorSettings()
        self.registry = CollectorRegistry()
        self._clock, self._lock = clock, threading.RLock()
        self._inbox: deque[Observed | Callable[[], None]] = deque()
        self._counts, self._latencies, self._series = Counts(), Latencies(), Series()
        self._watched = Watched(self.settings, 0, None, None, clock())
        self._traffic = None if folder is None else TrafficWriter(folder, self.settings.traffic)
        self._recalls = Background("tt_hydra-recall", self.settings.waiting)
        self._chores = Background("tt_hydra-drift", CHORES)
        self.registry.register(WatchCollector(self._figures, self._latencies))
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._work, name="tt_hydra-monitor", daemon=True)
        self._worker.start()

    def serving(
        self, version: int, created: str, reference: Reference | None, *, trained: str | None = None, changed: float | None = None
    ) -> None:
        """Another version is served: what is known of the last one is forgotten, counters and histograms go on."""
        self._inbox.append(partial(self._serve, version, created, reference, trained, changed))

    def searched(self, observed: Observed) -> None:
        """A request was answered."""
        if len(self._inbox) < INBOX:
            self._inbox.append(observed)
        else:
            self._counts.unobserved += 1

    def written(self, vectors: FloatArray, health: Health, *, writes: int, items: int) -> None:
        """The catalogue was changed."""
        self._inbox.append(partial(self._write, vectors, health, writes, items))

    def state(self) -> Mapping[str, object]:
        """What is known, ready for JSON."""
        with self._lock:
            self._drain()
            now = self._clock()
            latency = self._latencies.recent(now)
            alarms = [{"name": name, "reason": reason} for name, reason in self._watched.alarms(latency, now).items()]
            return {
                **self._watched.state(now),
                "requests": self._counts.requests,
                "queries": self._counts.queries,
                "dropped": {"requests": self._counts.unobserved, "recall": self._counts.recall_dropped},
                "latency": latency,
                "series": self._series.columns(),
                "alarms": alarms,
            }

    def render(self) -> bytes:
        """All metrics for Prometheus, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    @property
    def recall_low(self) -> float | None:
        """Lower end of the interval of live recall; None before there are queries enough to trust it."""
        with self._lock:
            gauge = self._watched.recall
            return gauge.estimate.low if gauge.estimate is not None and gauge.enough else None

    def settle(self, seconds: float = 60.0) -> bool:
        """Waits until all that was observed so far is looked at; False where it takes longer."""
        with self._lock:
            self._drain()
            self._look()
        return self._recalls.wait(seconds) and self._chores.wait(seconds)

    def close(self) -> None:
        """Ends the threads and writes the traffic that was not written yet."""
        self._closing.set()
        self._worker.join()
        with self._lock:
            self._drain()
        self._recalls.close()
        self._chores.close()
        if self._traffic is not None:
            self._traffic.write()

    def _work(self) -> None:
        while not self._closing.wait(PERIOD):
            try:
                with self._lock:
                    self._drain()
                    self._look()
            except Exception:
                logger.exception("a look at the traffic failed")

    def _drain(self) -> None:
        """Takes in what waits, in its order."""
        requests: list[Observed] = []
        for _ in range(len(self._inbox)):
            event = self._inbox.popleft()
            if isinstance(event, Observed):
                requests.append(event)
                continue
            self._search(requests)
            requests = []
            event()
        self._search(requests)

    def _search(self, requests: list[Observed]) -> None:
        now, every, counts = self._clock(), self.settings.every, self._counts
        self._latencies.add([request.seconds for request in requests], now)
        for request in requests:
            if request.version == self._watched.version:
                try:
                    self._watched.searched(request, now)
                    for sampled in picked(request, counts.queries, every, now):
                        self._keep(sampled)
                except Exception:
                    logger.exception("a request could not be looked at")
            counts.requests += 1
            counts.queries += len(request.vectors)

    def _keep(self, sampled: Sampled) -> None:
        """Has a query searched exactly, if it was searched as the version says, and adds it to the traffic."""
        if sampled.as_served:
            if self._recalls.offer(partial(self._compare, sampled, self._watched)):
                return
            self._counts.recall_dropped += 1
        self._record(sampled.row)

    def _compare(self, sampled: Sampled, watched: Watched) -> None:
        compared = sampled.compare()
        with self._lock:
            watched.recall.add(compared)
        self._record(sampled.with_recall(compared))

    def _record(self, row: Row) -> None:
        if self._traffic is not None:
            self._traffic.add(row)

    def _write(self, vectors: FloatArray, health: Health, writes: int, items: int) -> None:
        now = self._clock()
        self._watched.written(vectors, health, now)
        self._counts.writes += writes
        self._counts.items_added += items
        for row in added(vectors, self._watched.version, now):
            self._record(row)

    def _serve(self, version: int, created: str, reference: Reference | None, trained: str | None, changed: float | None) -> None:
        if self._traffic is not None:
            self._chores.offer(self._traffic.write)
        self._watched = Watched(self.settings, version, created, reference, self._clock(), trained=trained, changed=changed)
        self._latencies.forget()
        self._chores.offer(self._watched.calibrate)

    def _look(self) -> None:
        """Begins what is due: checks, a file of traffic, a point of the series."""
        now, watched = self._clock(), self._watched
        for kind, watch in watched.drift.items():
            check = watch.due(now)
            if check is not None:
                self._chores.offer(partial(self._judge, kind, watch, check))
        verdict = watched.unknown.check(now)
        if verdict is not None:
            self._count_check("unknown", alarm=verdict.alarm)
        if self._traffic is not None and self._traffic.due(now):
            self._chores.offer(self._traffic.write)
        if self._series.due(now):
            drifts = [watch.verdict.statistic for watch in watched.drift.values() if watch.verdict is not None]
            total = self._latencies.recent(now).get("total", {})
            self._series.add(now, self._counts.requests, total, watched.recall.estimate, max(drifts, default=None))

    def _judge(self, kind: str, watch: DriftWatch, check: Callable[[], Verdict]) -> None:
        verdict = check()
        with self._lock:
            watch.judged(verdict, self._clock())
            self._count_check(kind, alarm=verdict.alarm)

    def _count_check(self, kind: str, *, alarm: bool) -> None:
        for counted, times in ((self._counts.drift_checks, 1), (self._counts.drift_alarms, int(alarm))):
            counted[kind] = counted.get(kind, 0) + times

    def _figures(self) -> Figures:
        with self._lock:
            self._drain()
            now = self._clock()
            return self._watched.figures(self._counts, self._latencies.recent(now), now)
