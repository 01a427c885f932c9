"""How closely a service is watched, and what is an alarm."""

from __future__ import annotations

from dataclasses import dataclass, field

from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmLimits:
    """What is an alarm.

    Attributes:
        level: rate of false alarms of drift: share of checks of unchanged traffic that alarm, all kinds of drift together.
        recall: lower bound of recall@10 against exact search that must be kept.
        p99_ms: 99th percentile of a request's time that must be kept; null for none.
        model_days: age of the served model that must not be exceeded; null for none.
    """

    level: float = 0.01
    recall: float = 0.9
    p99_ms: float | None = None
    model_days: float | None = None

    def __post_init__(self) -> None:
        if not 0.0001 <= self.level <= 0.5:
            raise ConfigError(f"level={self.level}: a rate of false alarms from 0.0001 to 0.5; 0.01 is one check in a hundred")
        if not 0 <= self.recall <= 1:
            raise ConfigError(f"recall={self.recall}: from 0 (never an alarm) to 1")
        for name in ("p99_ms", "model_days"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name}={value}: more than 0, or null for no alarm")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficLimits:
    """How much of the traffic is kept as files, for ``python -m tt_hydra monitor``; 0 files keep none.

    Attributes:
        files: Parquet files; the oldest give way.
        megabytes: of all files.
        rows: queries in a file.
        minutes: after which a file is written although it holds fewer rows.
    """

    files: int = 200
    megabytes: float = 256.0
    rows: int = 2000
    minutes: float = 5.0

    def __post_init__(self) -> None:
        if self.files < 0 or self.rows < 1 or self.megabytes <= 0 or self.minutes <= 0:
            raise ConfigError("traffic: files of 0 or more; rows, megabytes and minutes of more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorSettings:
    """How a service is watched.

    Attributes:
        every: one query in so many is searched again exactly, and kept as a sample of the traffic.
        waiting: queries that may wait to be searched again; more are left out, never waited for.
        recall_window: queries that the recall gauge looks back on.
        window: vectors that a check of drift judges, at most a tenth of the reference's.
        drift_minutes: between two checks of drift; each judges a sample of the time between them.
        coverage_minutes: that coverage of the catalogue looks back on.
        alarm: what is an alarm.
        traffic: how much is kept as files.
    """

    every: int = 100
    waiting: int = 64
    recall_window: int = 500
    window: int = 500
    drift_minutes: float = 5.0
    coverage_minutes: float = 60.0
    alarm: AlarmLimits = field(default_factory=AlarmLimits)
    traffic: TrafficLimits = field(default_factory=TrafficLimits)

    def __post_init__(self) -> None:
        for name, least in {"every": 1, "waiting": 1, "recall_window": 1, "window": 30}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"monitor.{name}={getattr(self, name)}: at least {least}")
        for name in ("drift_minutes", "coverage_minutes"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"monitor.{name}={getattr(self, name)}: more than 0 minutes")
