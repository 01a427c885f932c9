"""Engagement statistics of items as they stood at a moment: only events strictly before it count.

All events are held as one sorted array of (item, time) keys, so the statistics of any rows at any times are two binary searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray
from tt_hydra.data.encoders import moments

COUNT = "count"
HOURS = {"d": 24, "h": 1}
MICROSECONDS_PER_HOUR = 3_600_000_000
HOURS_PER_DAY = 24


def window_hours(name: str) -> int | None:
    """Length of a statistic's window in hours (``rate_7d``: 168), None for ``count``, which looks back without end."""
    return None if name == COUNT else int(name[len("rate_") : -1]) * HOURS[name[-1]]


@dataclass(frozen=True, slots=True)
class EventTimes:
    """The events of every item in order of time.

    Attributes:
        keys: ``(events,)`` sorted, item row times ``len(times) + 1`` plus the rank of the event's time.
        times: the distinct times, ascending, in microseconds or steps.
    """

    keys: IntArray
    times: IntArray

    @staticmethod
    def build(items: IntArray, times: IntArray) -> EventTimes:
        """Sorts the events.

        Args:
            items: ``(events,)`` item row of each event.
            times: ``(events,)`` its time.
        """
        distinct, ranks = np.unique(times, return_inverse=True)
        return EventTimes(np.sort(items * (len(distinct) + 1) + ranks), distinct)

    def rank(self, at: IntArray) -> IntArray:
        """How many of the distinct times are before each moment."""
        return np.searchsorted(self.times, at).astype(np.int64)

    def key(self, rows: IntArray, at: IntArray) -> IntArray:
        """A number for each pair of an item and a moment, equal only where item and earlier events are equal."""
        return rows * (len(self.times) + 1) + self.rank(at)

    def before(self, rows: IntArray, at: IntArray, windows: Sequence[int | None]) -> IntArray:
        """Number of an item's events in ``[at - window, at)``; the moment itself never counts.

        Args:
            rows: ``(n,)`` item rows.
            at: ``(n,)`` moments, in the unit of ``times``.
            windows: lengths of the windows, in the unit of ``times``; None looks back without end.

        Returns:
            ``(n, windows)``.
        """
        order = np.argsort(rows, kind="stable")  # neighbouring searches touch neighbouring memory
        rows, at = rows[order], at[order]
        stops = np.searchsorted(self.keys, self.key(rows, at))
        starts = [rows * (len(self.times) + 1) if window is None else self.key(rows, at - window) for window in windows]
        counts = np.empty((len(rows), len(windows)), np.int64)
        counts[order] = np.stack([stops - np.searchsorted(self.keys, start) for start in starts], axis=1)
        return counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """One statistic's normalisation, fitted on the training examples."""

    name: str
    mean: float = 0.0
    std: float = 1.0

    @property
    def feature(self) -> str:
        """Name of the item feature that it becomes."""
        return f"statistics.{self.name}"


def raw(names: Sequence[str], events: EventTimes, rows: IntArray, at: IntArray) -> FloatArray:
    """``(n, statistics)``: log1p of the count, log1p of the events a day within the window."""
    hours = [window_hours(name) for name in names]
    counts = events.before(rows, at, [None if each is None else each * MICROSECONDS_PER_HOUR for each in hours])
    per_day = np.array([1 if each is None else HOURS_PER_DAY / each for each in hours])
    values: FloatArray = np.log1p(counts * per_day).astype(np.float32)
    return values


def fit_scales(names: Sequence[str], values: FloatArray) -> tuple[Scale, ...]:
    """Mean and deviation of each statistic over the training examples, ``values (examples, statistics)``."""
    return tuple(Scale(name=name, mean=mean, std=std) for name, (mean, std) in zip(names, map(moments, values.T), strict=True))


def scaled(scales: Sequence[Scale], values: FloatArray) -> FloatArray:
    """``values (n, statistics)`` normalised."""
    means = np.array([scale.mean for scale in scales], np.float32)
    stds = np.array([scale.std for scale in scales], np.float32)
    return ((values - means) / stds).astype(np.float32)
