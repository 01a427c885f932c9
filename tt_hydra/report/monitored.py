"""What a report on a service is made of: plain values, filled in by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal["fine", "alarm", "too little"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MonitorCheck:
    """One thing that is watched.

    Attributes:
        name: what it is.
        state: whether it is in alarm; ``too little`` was seen to say so.
        value: the figure, None where there is none.
        low: lower end of its 95% interval, where it has one; so ``high``.
        limit: beyond which it is an alarm, None for none.
        unit: of the figures.
        seen: how much it rests on.
        text: in words.
    """

    name: str
    state: State = "fine"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    seen: int = 0
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitored:
    """Everything that a report on a service shows.

    Attributes:
        command: the command line that made it.
        bundle: whose traffic it is about.
        queries: rows of traffic.
        checks: what was looked at.
        drift: by kind and test its statistic as a share of its threshold.
        series: columns over time: ``time`` (ISO), percentiles in milliseconds, recall with its interval; None for gaps.
        notes: what the reader must know.
    """

    command: str = ""
    bundle: str
    queries: int
    checks: Sequence[MonitorCheck]
    drift: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[float | str | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def alarm(self) -> bool:
        """Whether anything is in alarm."""
        return any(check.state == "alarm" for check in self.checks)
