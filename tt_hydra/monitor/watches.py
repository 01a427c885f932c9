"""Samples of the traffic between two checks, and what the checks say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from tt_hydra.monitor.calibration import Values, Verdict
from tt_hydra.monitor.intervals import binomial_tail, wilson

MOST_KEYS = 100_000
"""Different vectors that a sample remembers between two checks."""
KINDS = ("queries", "items", "scores", "unknown")
"""What is watched for drift; each has an equal part of the rate of false alarms."""
FEWEST_VALUES = 100
"""Values of requests that the share of unknown ones needs."""

T = TypeVar("T")


class Detector(Protocol):
    """Judges windows of a size."""

    size: int

    def judge(self, window: Values) -> Verdict:
        """What a window says."""


class Sample(Generic[T]):
    """A uniform sample of the different values since it was last emptied; what comes again counts once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen = 0
        self._values: list[T] = []
        self._keys: set[int] = set()
        self._random = random.Random(0)

    def add(self, key: int, value: T) -> None:
        """Takes a value in, or not."""
        if key in self._keys:
            return
        if len(self._keys) < MOST_KEYS:
            self._keys.add(key)
        self.seen += 1
        if len(self._values) < self.size:
            self._values.append(value)
        elif (place := self._random.randrange(self.seen)) < self.size:
            self._values[place] = value

    def take(self) -> list[T]:
        """The sample; it is empty afterwards."""
        values, self._values, self.seen = self._values, [], 0
        self._keys.clear()
        return values


def keys_of(vectors: Values) -> list[int]:
    """What tells vectors apart, rounding aside."""
    return [hash(row.tobytes()) for row in np.round(vectors, 4) + 0.0]


class DriftWatch:
    """One kind of drift: collects a window, has it judged, keeps the verdict."""

    def __init__(self, size: int | None, seconds: float, now: float) -> None:
        """Begins to collect.

        Args:
            size: rows of a window; None where there is no reference to judge by.
            seconds: between two checks.
            now: the time.
        """
        self.verdict: Verdict | None = None
        self.checked: float | None = None
        self.detector: Detector | None = None
        self._seconds, self._due = seconds, now + seconds
        self.sample: Sample[Values] | None = None if size is None else Sample(size)

    def add(self, keys: Iterable[int], rows: Iterable[Values]) -> None:
        """Takes rows in."""
        if self.sample is not None:
            for key, row in zip(keys, rows, strict=True):
                self.sample.add(key, row)

    def due(self, now: float) -> Callable[[], Verdict] | None:
        """The check that is to be made now, if any."""
        sample, detector = self.sample, self.detector
        if sample is None or detector is None or sample.seen < sample.size or now < self._due:
            return None
        self._due = now + self._seconds
        window = np.stack(sample.take())
        return lambda: detector.judge(window)

    def judged(self, verdict: Verdict, now: float) -> None:
        """Keeps a verdict."""
        self.verdict, self.checked = verdict, now

    @property
    def alarm(self) -> bool:
        """Whether the last check was an alarm."""
        return self.verdict is not None and self.verdict.alarm

    def state(self, level: float) -> dict[str, Any]:
        """What is known, ready for JSON."""
        verdict, sample = self.verdict, self.sample
        judged = "alarm" if self.alarm else "quiet" if verdict is not None else "no reference" if sample is None else "waiting"
        return {
            "state": judged,
            "statistic": None if verdict is None else verdict.statistic,
            "threshold": 1.0,
            "alarm": self.alarm,
            "p_value": None if verdict is None else verdict.p_value,
            "level": level,
            "seen": 0 if sample is None else sample.seen,
            "needed": 0 if sample is None else sample.size,
            "checked": None if self.checked is None else iso(self.checked),
            "tests": {}
            if verdict is None
            else {name: {"value": value, "threshold": verdict.thresholds[name]} for name, value in verdict.values.items()},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownVerdict:
    """What a check of unknown values says: their share, among how many, and how likely so many are by chance."""

    share: float
    values: int
    p_value: float
    alarm: bool


class UnknownWatch:
    """Counts values that the featurizer does not know, and tests their share against the reference's."""

    def __init__(self, share: float | None, queries: int, level: float, seconds: float, now: float) -> None:
        """Begins to count.

        Args:
            share: of the reference; None where there is none.
            queries: that the reference's share was counted on; it is known as well as so many allow.
            level: rate of false alarms.
            seconds: between two checks.
            now: the time.
        """
        self.reference = share
        self.verdict: UnknownVerdict | None = None
        self._bound = None if share is None else wilson(share * queries, queries).high
        self._level, self._seconds, self._due = level, seconds, now + seconds
        self._unknown = self._values = 0

    def add(self, unknown: int, values: int) -> None:
        """Takes in a request."""
        self._unknown += unknown
        self._values += values

    def check(self, now: float) -> UnknownVerdict | None:
        """Judges what was counted since the last check, if it is time and there is enough."""
        if self._bound is None or now < self._due or self._values < FEWEST_VALUES:
            return None
        self.verdict = judge_unknown(self._unknown, self._values, self._bound, self._level)
        self._unknown = self._values = 0
        self._due = now + self._seconds
        return self.verdict

    @property
    def alarm(self) -> bool:
        """Whether the last check was an alarm."""
        return self.verdict is not None and self.verdict.alarm

    def state(self) -> dict[str, Any]:
        """What is known, ready for JSON."""
        verdict = self.verdict
        return {
            "share": None if verdict is None else verdict.share,
            "reference": self.reference,
            "values": 0 if verdict is None else verdict.values,
            "p_value": None if verdict is None else verdict.p_value,
            "alarm": self.alarm,
        }


def judge_unknown(unknown: int, values: int, bound: float, level: float) -> UnknownVerdict:
    """A one-sided binomial test: are there more unknown values than the largest plausible share of the reference explains?"""
    p_value = binomial_tail(unknown, values, bound)
    return UnknownVerdict(share=unknown / values, values=values, p_value=p_value, alarm=p_value <= level)


def iso(moment: float) -> str:
    """A time as text."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
