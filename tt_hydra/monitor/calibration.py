"""Thresholds of several tests at once, from what the tests give where nothing has changed.

Each test's threshold is the same quantile of its own values under no change, chosen so that together they raise a false alarm at
the stated rate, however the tests depend on each other (the single-step min-p of Westfall and Young, "Resampling-based multiple
testing", Wiley 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import IntArray

RESAMPLES = 10_000
"""Pseudo-windows: a level of .0025 is met by 25 of them."""
TESTS = {
    "mmd": "the maximum mean discrepancy",
    "mean": "the largest shift of a dimension's mean",
    "spread": "the largest change of a dimension's spread",
    "ks": "the Kolmogorov-Smirnov distance",
}
"""Tests in words."""
_LEAST = 1e-9
"""Stands for a threshold of zero, where the reference does not vary."""
_AT_A_TIME = 1 << 20
"""Cells that are drawn at once."""

Values = npt.NDArray[np.floating]
Wide = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a family of tests says of a window.

    Attributes:
        p_value: share of windows without change that look at least as changed.
        alarm: whether any test exceeds its threshold.
        values: of each test by name.
        thresholds: of each test by name.
        size: vectors that were judged.
    """

    p_value: float
    alarm: bool
    values: Mapping[str, float]
    thresholds: Mapping[str, float]
    size: int

    @property
    def statistic(self) -> float:
        """The largest share of its threshold that a test reaches; above 1 it is an alarm."""
        return max(self.ratios.values())

    @property
    def ratios(self) -> dict[str, float]:
        """Each test's value as a share of its threshold."""
        return {name: value / max(self.thresholds[name], _LEAST) for name, value in self.values.items()}

    @property
    def told(self) -> str:
        """The test that sees most, in words."""
        name = max(self.ratios, key=lambda each: self.ratios[each])
        return f"{TESTS[name]} is {self.ratios[name]:.2f} times what is allowed (p = {self.p_value:.2g}, {self.size} judged)"


@dataclass(frozen=True)
class Family:
    """Tests with their common thresholds.

    Attributes:
        names: of the tests.
        values: ``(tests, resamples)`` of each test under no change, ascending.
        worst: ``(resamples,)`` rank of the most extreme test of each resample among that test's values, 1 the most extreme; ascending.
        thresholds: ``(tests,)``; more is an alarm.
    """

    names: tuple[str, ...]
    values: Wide
    worst: IntArray
    thresholds: Wide

    @classmethod
    def calibrate(cls, values: Mapping[str, Values], level: float) -> Family:
        """Thresholds at which a share ``level`` of the resamples is an alarm.

        Args:
            values: ``(resamples,)`` of each test under no change, the same resamples for all.
            level: rate of false alarms of the family.
        """
        stacked: Wide = np.stack([np.asarray(each, np.float64) for each in values.values()])
        count = stacked.shape[1]
        ascending = np.sort(stacked, axis=1)
        ranks = np.stack([count - np.searchsorted(known, each, side="left") for known, each in zip(ascending, stacked, strict=True)])
        worst = np.sort(ranks.min(axis=0)).astype(np.int64)
        place = int(level * count)
        exceeding = int(worst[place] - 1) if place < count else count
        thresholds = ascending[:, max(0, count - 1 - exceeding)]
        return cls(tuple(values), ascending, worst, thresholds)

    def judge(self, values: Mapping[str, float], size: int) -> Verdict:
        """What the tests' values of a window say."""
        found = np.array([values[name] for name in self.names])
        count = self.values.shape[1]
        ranks = [count - int(np.searchsorted(known, value, side="left")) for known, value in zip(self.values, found, strict=True)]
        beyond = int(np.searchsorted(self.worst, min(ranks), side="right"))
        return Verdict(
            p_value=(1 + beyond) / (1 + count),
            alarm=bool((found > self.thresholds).any()),
            values=dict(zip(self.names, found.tolist(), strict=True)),
            thresholds=dict(zip(self.names, self.thresholds.tolist(), strict=True)),
            size=size,
        )


def resampled(rows: int, size: int, resamples: int, seed: int) -> Iterator[IntArray]:
    """Random windows out of a reference, each ``size`` different rows: blocks ``(windows, size)`` that make ``resamples`` in all."""
    generator = np.random.default_rng(seed)
    step = max(1, _AT_A_TIME // rows)
    for start in range(0, resamples, step):
        keys = generator.random((min(step, resamples - start), rows), dtype=np.float32)
        yield np.argpartition(keys, size, axis=1)[:, :size]


def under_no_change(
    statistics: Callable[[IntArray], Mapping[str, Values]], rows: int, size: int, resamples: int, seed: int
) -> dict[str, Values]:
    """Values of every test on windows that are drawn from the reference and held against the rest of it.

    Args:
        statistics: from rows ``(windows, size)`` to ``(windows,)`` values by test.
        rows: of the reference.
        size: of a window.
        resamples: number of windows.
        seed: of the draws.
    """
    blocks = [statistics(drawn) for drawn in resampled(rows, size, resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
