"""Whether vectors, or scores, still come from where those of the reference came from.

Vectors are held against the reference by three tests at once: the maximum mean discrepancy (Gretton et al., "A kernel two-sample
test", JMLR 2012), which sees any change of the whole distribution; the largest shift of a dimension's mean; the largest change of
a dimension's spread. Scores are held against it by the Kolmogorov-Smirnov distance.

Thresholds come from the reference alone, by judging parts of it against its rest. Every window is judged against the same
reference, so that what the reference happens to miss of its own distribution is there in every judgement: the larger a window is
beside the reference, the more of a shift is this error and none of the traffic's. Hence a window holds at most a tenth of the
reference's rows (`window_size`); with more, the rate of false alarms would be one of the particular reference, not the stated one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from tt_hydra.contracts import FloatArray, IntArray
from tt_hydra.monitor.calibration import RESAMPLES, Family, Values, Verdict, under_no_change

SHARE = 10
"""A window holds one row for so many of the reference at most."""
FEWEST = 30
"""Rows of the smallest window that is judged."""
FEWEST_REFERENCE = 100
"""Rows of the smallest reference."""
_PAIRS = 1000
"""Rows of the reference whose distances give the kernel's width."""
STILL = 1e-3
"""Standard deviation, as a share of the usual one, below which a dimension counts as still: rounding alone moves it."""
LEAST_DEVIATION = 0.1
"""Of a standardised value or its size: less means that it does not vary."""


def window_size(reference: int, window: int) -> int | None:
    """Rows of a window that are judged at once: no more than were asked for and than the reference bears; None where it is too small."""
    if reference < FEWEST_REFERENCE:
        return None
    return min(window, max(FEWEST, reference // SHARE))


def spread_over(rows: int, size: int) -> IntArray:
    """``size`` of ``rows`` numbers, evenly spread; all where there are no more."""
    numbers: IntArray = np.linspace(0, rows - 1, min(size, rows)).round().astype(np.int64)
    return numbers


class EmbeddingDrift:
    """Holds windows of vectors against a reference."""

    def __init__(self, reference: FloatArray, *, size: int, level: float, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Calibrates the tests, once for a reference: seconds.

        Args:
            reference: ``(rows, dim)`` vectors.
            size: rows of a window that are judged.
            level: rate of false alarms of all tests together.
            resamples: pseudo-windows that thresholds are taken from.
            seed: of the resampling.
        """
        self.size, self.level = size, level
        self._reference = np.ascontiguousarray(reference, np.float32)
        self._centre = self._reference.mean(axis=0)
        deviations = self._reference.std(axis=0)
        self._scale = np.maximum(deviations, STILL * float(np.sqrt(np.mean(np.square(deviations)))) or 1.0)
        marks = self._marks(self._reference)
        self._marks_sum, self._marks_scale = marks.sum(axis=0, dtype=np.float64), np.maximum(marks.std(axis=0), LEAST_DEVIATION)
        self._width = median_distance(self._reference)
        self._family = Family.calibrate(
            under_no_change(lambda rows: self._resampled(rows, marks), len(reference), size, resamples, seed), level
        )
        self.__dict__.pop("_kernel")  # 16 MB for 2000 rows; what it sums to is kept

    def judge(self, window: FloatArray) -> Verdict:
        """What the tests say of a window; of a larger one, of ``size`` rows evenly spread over it.

        Args:
            window: ``(rows, dim)``; fewer rows than ``size`` are judged by thresholds that suit fewer rows less well.
        """
        vectors = np.asarray(window, np.float32)[spread_over(len(window), self.size)]
        marks = self._shifts(self._marks(vectors).sum(axis=0, dtype=np.float64)[None], len(vectors), len(self._reference))
        mmd = self._mmd_of(vectors) * balance(len(vectors), len(self._reference))
        return self._family.judge({"mmd": mmd, **{name: float(value[0]) for name, value in marks.items()}}, len(vectors))

    def _mmd_of(self, vectors: FloatArray) -> float:
        total, _ = self._kernel_sums
        rows, size = len(self._reference), len(vectors)
        within = gaussian(vectors, vectors, self._width).sum(dtype=np.float64)
        across = gaussian(vectors, self._reference, self._width).sum(dtype=np.float64)
        return float(_unbiased(within, across, total, size, rows))

    def _resampled(self, rows: IntArray, marks: FloatArray) -> Mapping[str, Values]:
        windows, size = rows.shape
        count = len(self._reference)
        chosen = np.zeros((windows, count), np.float32)
        np.put_along_axis(chosen, rows, 1.0, axis=1)
        total, sums = self._kernel_sums
        within = np.einsum("wr,wr->w", chosen @ self._kernel, chosen, dtype=np.float64)
        across = sums[rows].sum(axis=1) - within
        rest = total - 2 * across - within
        mmd = _unbiased(within, across, rest, size, count - size) * balance(size, count - size)
        totals = (chosen @ marks).astype(np.float64)
        return {"mmd": mmd, **self._shifts(totals, size, count - size, whole=True)}

    def _shifts(self, totals: Values, size: int, rest: int, *, whole: bool = False) -> dict[str, Values]:
        """Largest shift of a mean, and of a spread, in standard errors.

        Args:
            totals: ``(windows, marks)`` sums over each window.
            size: rows of a window.
            rest: rows that it is held against.
            whole: whether the window is part of the reference and is held against its rest.
        """
        others = self._marks_sum - totals if whole else self._marks_sum
        shift = np.abs(totals / size - others / rest) / self._marks_scale * np.sqrt(balance(size, rest))
        dim = shift.shape[1] // 2
        return {"mean": shift[:, :dim].max(axis=1), "spread": shift[:, dim:].max(axis=1)}

    def _marks(self, vectors: FloatArray) -> FloatArray:
        """What is averaged in each dimension: the standardised value and its size, ``(rows, 2 dim)``."""
        standard = (vectors - self._centre) / self._scale
        return np.concatenate([standard, np.abs(standard)], axis=1)

    @cached_property
    def _kernel(self) -> FloatArray:
        return gaussian(self._reference, self._reference, self._width)

    @cached_property
    def _kernel_sums(self) -> tuple[float, Values]:
        """Sum of the kernel over all pairs of the reference, and by row."""
        sums = self._kernel.sum(axis=1, dtype=np.float64)
        return float(sums.sum()), sums


class ScoreDrift:
    """Holds windows of scores against those of the reference."""

    def __init__(self, reference: Values, *, size: int, level: float, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Calibrates the test.

        Args:
            reference: ``(rows,)`` scores.
            size: rows of a window that are judged.
            level: rate of false alarms.
            resamples: pseudo-windows that the threshold is taken from.
            seed: of the resampling.
        """
        self.size, self.level = size, level
        self._sorted = np.sort(np.asarray(reference, np.float64))
        self._family = Family.calibrate(under_no_change(self._resampled, len(self._sorted), size, resamples, seed), level)

    def judge(self, window: Values) -> Verdict:
        """What the test says of ``(rows,)`` scores; of a larger window, of ``size`` rows evenly spread over it."""
        scores = np.asarray(window, np.float64)[spread_over(len(window), self.size)]
        distance = float(ks_distance(self._sorted, scores[None])[0])
        return self._family.judge({"ks": distance * np.sqrt(balance(len(scores), len(self._sorted)))}, len(scores))

    def _resampled(self, rows: IntArray) -> Mapping[str, Values]:
        count, size = len(self._sorted), rows.shape[1]
        rest = count - size
        # the window is part of the reference: its distance from the rest is that from the whole, times count / rest
        return {"ks": ks_distance(self._sorted, self._sorted[rows]) * count / rest * np.sqrt(balance(size, rest))}


def ks_distance(reference: Values, windows: Values) -> Values:
    """Largest distance of the distribution functions of a reference and of each window, ``(windows,)``.

    Args:
        reference: ``(rows,)``, ascending.
        windows: ``(windows, size)``.
    """
    ordered = np.sort(windows, axis=1)
    size = ordered.shape[1]
    upto = np.searchsorted(reference, ordered, side="right") / len(reference)
    below = np.searchsorted(reference, ordered, side="left") / len(reference)
    # a value that a window has several times is one step: its foot is before the first, its top after the last
    new = np.ones(ordered.shape, np.bool_)
    new[:, 1:] = ordered[:, 1:] > ordered[:, :-1]
    places = np.arange(size)
    foot = np.maximum.accumulate(np.where(new, places, 0), axis=1) / size
    last = np.ones(ordered.shape, np.bool_)
    last[:, :-1] = new[:, 1:]
    top = np.minimum.accumulate(np.where(last, places + 1, size)[:, ::-1], axis=1)[:, ::-1] / size
    distance: Values = np.maximum(np.abs(top - upto), np.abs(below - foot)).max(axis=1)
    return distance


def gaussian(left: FloatArray, right: FloatArray, width: float) -> FloatArray:
    """``exp(-|x - y|^2 / (2 width^2))`` of each pair, ``(left, right)``."""
    kernel = left @ right.T
    kernel *= 2
    kernel -= np.einsum("ld,ld->l", left, left)[:, None]
    kernel -= np.einsum("rd,rd->r", right, right)
    np.minimum(kernel, 0, out=kernel)
    kernel /= 2 * width * width
    np.exp(kernel, out=kernel)
    return kernel


def median_distance(vectors: FloatArray) -> float:
    """The median distance of two different rows, of `_PAIRS` at most; 1 where all are the same."""
    some = np.asarray(vectors[spread_over(len(vectors), _PAIRS)], np.float32)
    norms = np.einsum("rd,rd->r", some, some)
    squares = norms[:, None] + norms - 2 * some @ some.T
    found = float(np.median(np.sqrt(np.maximum(squares[np.triu_indices(len(some), 1)], 0))))
    return found if found > 0 else 1.0


def mmd(left: FloatArray, right: FloatArray, width: float) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy of two samples."""
    within, across, rest = (float(gaussian(*pair, width).sum(dtype=np.float64)) for pair in ((left, left), (left, right), (right, right)))
    return float(_unbiased(within, across, rest, len(left), len(right)))


def balance(size: int, rest: int) -> float:
    """``1 / (1 / size + 1 / rest)``: by it statistics of different sizes are of one kind."""
    return size * rest / (size + rest)


def _unbiased(within: Values | float, across: Values | float, rest: Values | float, size: int, others: int) -> Values:
    """From sums of the kernel within a window, across, and within the other sample; a row beside itself does not count."""
    first = (np.asarray(within) - size) / (size * (size - 1))
    second = (np.asarray(rest) - others) / (others * (others - 1))
    found: Values = first + second - 2 * np.asarray(across) / (size * others)
    return found
