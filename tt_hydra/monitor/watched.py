"""What is known of the version that is served; another version begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tt_hydra.contracts import FloatArray, Health, Observed, Reference
from tt_hydra.monitor.calibration import RESAMPLES
from tt_hydra.monitor.coverage import Coverage
from tt_hydra.monitor.drift import EmbeddingDrift, ScoreDrift, window_size
from tt_hydra.monitor.metrics import Counts, Figures
from tt_hydra.monitor.recall import RecallGauge
from tt_hydra.monitor.settings import MonitorSettings
from tt_hydra.monitor.watches import KINDS, DriftWatch, UnknownWatch, iso, keys_of

DAY = 86_400.0
ALARMS = ("recall", "drift_queries", "drift_items", "drift_scores", "unknown", "p99", "stale")
"""What a service can be in alarm for."""


class Watched:
    """One version: recall, drift, unknown values, coverage, ages. Not safe for threads: its owner locks."""

    def __init__(
        self,
        settings: MonitorSettings,
        version: int,
        created: str | None,
        reference: Reference | None,
        now: float,
        *,
        trained: str | None = None,
        changed: float | None = None,
    ) -> None:
        self.settings, self.version, self.since = settings, version, now
        self.reference = reference
        self.level = settings.alarm.level / len(KINDS)
        self.health: Health | None = None
        self.recall = RecallGauge(settings.recall_window)
        self.coverage = Coverage(60 * settings.coverage_minutes)
        seconds = 60 * settings.drift_minutes
        sizes = {} if reference is None else {kind: window_size(len(rows), settings.window) for kind, rows in _rows(reference).items()}
        self.drift = {kind: DriftWatch(sizes.get(kind), seconds, now) for kind in KINDS if kind != "unknown"}
        queries = 0 if reference is None else len(reference.queries)
        self.unknown = UnknownWatch(reference.unknown_share if reference and queries else None, queries, self.level, seconds, now)
        self._created = None if created is None else moment(created)
        self._trained = self._created if trained is None else moment(trained)
        self._changed = changed

    def calibrate(self) -> None:
        """Takes thresholds from the reference: seconds. Touches nothing else, so that it may run beside the rest."""
        rows = {} if self.reference is None else _rows(self.reference)
        for kind, watch in self.drift.items():
            if watch.sample is not None:
                detector = ScoreDrift if kind == "scores" else EmbeddingDrift
                watch.detector = detector(rows[kind], size=watch.sample.size, level=self.level, resamples=RESAMPLES)

    def searched(self, observed: Observed, now: float) -> None:
        """Takes in a request of this version."""
        keys = keys_of(observed.vectors)
        self.drift["queries"].add(keys, observed.vectors)
        best = observed.result.scores[:, :1]
        if observed.allowed is None and observed.as_served and best.shape[1]:
            known = np.isfinite(best[:, 0])
            self.drift["scores"].add((key for key, fine in zip(keys, known, strict=True) if fine), best[known, 0])
        self.unknown.add(sum(observed.unknown), sum(observed.values))
        self.coverage.add((each for ids in observed.ids for each in ids), now)
        if self.health is None:
            self.health = observed.snapshot.health

    def written(self, vectors: FloatArray, health: Health, now: float) -> None:
        """Takes in a change of the catalogue."""
        self.health = health
        if len(vectors):
            self.drift["items"].add(keys_of(vectors), vectors)
        if self._changed is None:
            self._changed = now

    def ages(self, now: float) -> dict[str, float | None]:
        """Seconds since the model was trained, since the version was made with its index, and since the oldest change beside it."""
        moments = {"model_s": self._trained, "index_s": self._created, "delta_s": self._changed}
        return {name: None if when is None else now - when for name, when in moments.items()}

    def covered(self, now: float) -> tuple[int, float | None]:
        """Different items shown, and their share of those that can be found."""
        shown = self.coverage.count(now)
        alive = 0 if self.health is None else self.health.alive
        return shown, min(1.0, shown / alive) if alive else None

    def alarms(self, latency: Mapping[str, Mapping[str, float]], now: float) -> dict[str, str]:
        """Alarms that are on, with their reasons."""
        limits, found = self.settings.alarm, {}
        recall = self.recall.estimate
        if recall is not None and self.recall.below(limits.recall):
            found["recall"] = (
                f"recall@10 may be as low as {recall.low:.3f} ({self.recall.queries} queries); {limits.recall:g} is to be kept"
            )
        for kind, watch in self.drift.items():
            if watch.alarm and watch.verdict is not None:
                found[f"drift_{kind}"] = f"{kind} drifted: {watch.verdict.told}"
        if self.unknown.alarm and self.unknown.verdict is not None:
            seen = self.unknown.verdict
            found["unknown"] = f"{seen.share:.1%} of {seen.values} values are unknown to the model, {self.unknown.reference:.1%} were"
        p99 = latency.get("total", {}).get("p99")
        if limits.p99_ms is not None and p99 is not None and p99 > limits.p99_ms:
            found["p99"] = f"p99 is {p99:.3g} ms; {limits.p99_ms:g} is to be kept"
        age = self.ages(now)["model_s"]
        if limits.model_days is not None and age is not None and age > DAY * limits.model_days:
            found["stale"] = f"the model is {age / DAY:.1f} days old; {limits.model_days:g} are allowed"
        return found

    def figures(self, counts: Counts, latency: Mapping[str, Mapping[str, float]], now: float) -> Figures:
        """What Prometheus is told, by the names of `METRICS`."""
        recall, health, raised = self.recall.estimate, self.health, self.alarms(latency, now)
        verdicts = {kind: watch.verdict for kind, watch in self.drift.items() if watch.verdict is not None}
        unknown = self.unknown.verdict
        return {
            **{each.name: getattr(counts, each.name) for each in fields(counts)},
            "version": self.version,
            **({} if recall is None else {"recall": recall.value, "recall_low": recall.low, "recall_high": recall.high}),
            "recall_queries": self.recall.queries,
            "drift_alarm": {**{kind: float(watch.alarm) for kind, watch in self.drift.items()}, "unknown": float(self.unknown.alarm)},
            "drift_statistic": {kind: verdict.statistic for kind, verdict in verdicts.items()},
            "drift_p_value": {kind: verdict.p_value for kind, verdict in verdicts.items()},
            "unknown_share": None if unknown is None else unknown.share,
            "age_seconds": {name.removesuffix("_s"): age for name, age in self.ages(now).items()},
            "items": {} if health is None else {name: getattr(health, name) for name in ("alive", "base", "delta", "dead")},
            "index_imbalance": None if health is None else health.imbalance,
            "coverage": self.covered(now)[1],
            "alarm": {name: float(name in raised) for name in ALARMS},
        }

    def state(self, now: float) -> dict[str, Any]:
        """What is known, ready for JSON."""
        shown, share = self.covered(now)
        recall = self.recall.estimate
        return {
            "version": self.version,
            "created": None if self._created is None else iso(self._created),
            "since": iso(self.since),
            "recall": None
            if recall is None
            else {
                **asdict(recall),
                "queries": self.recall.queries,
                "count": self.recall.results,
                "alarm_below": self.settings.alarm.recall,
                "alarm": self.recall.below(self.settings.alarm.recall),
            },
            "drift": {kind: watch.state(self.level) for kind, watch in self.drift.items()},
            "unknown": self.unknown.state(),
            "age": self.ages(now),
            "coverage": share,
            "shown": shown,
            "health": None if self.health is None else asdict(self.health),
        }


def _rows(reference: Reference) -> dict[str, FloatArray]:
    best = reference.scores[:, 0] if reference.scores.size else np.empty(0, np.float32)
    return {"queries": reference.queries, "items": reference.items, "scores": best[np.isfinite(best)]}


def moment(text: str) -> float | None:
    """Seconds since 1970 of an ISO time; UTC where it names no zone, None where it is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
