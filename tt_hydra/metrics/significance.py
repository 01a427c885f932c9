"""Bootstrap intervals by query (Sakai, "Evaluating evaluation metrics based on the bootstrap", SIGIR 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import Estimate

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWS_AT_A_TIME = 1 << 20
"""Draws held at once; bounds memory to some 16 MB whatever the number of queries."""

Values = npt.NDArray[np.floating]


def mean_interval(values: Values, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean over queries with its 95% percentile bootstrap interval.

    Args:
        values: ``(queries,)``, one figure for each query.
        seed: of the resampling; equal seeds give equal intervals.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: no values, or a value that is not finite.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.ndim != 1 or not len(figures):
        raise ValueError(f"an interval needs a row of one figure or more, got the shape {figures.shape}")
    if not np.isfinite(figures).all():
        raise ValueError(f"{int((~np.isfinite(figures)).sum())} of {len(figures)} figures are not finite")
    means = _resampled_means(figures, np.random.default_rng(seed), resamples)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(value=float(figures.mean()), low=float(low), high=float(high))


def difference_interval(values: Values, baseline: Values, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean of the paired differences ``values - baseline`` with its interval; it excludes 0 where the two differ for sure.

    Args:
        values: ``(queries,)``, one system's figure for each query.
        baseline: ``(queries,)``, the other system's for the same queries in the same order.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: the two are not equally long, empty, or not finite.
    """
    if np.shape(values) != np.shape(baseline):
        raise ValueError(f"paired figures must be equally many, got the shapes {np.shape(values)} and {np.shape(baseline)}")
    return mean_interval(np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64), seed=seed, resamples=resamples)


def mean_intervals(values: Mapping[str, Values], *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """``mean_interval`` of each metric; takes ``PerQuery.values``."""
    return {name: mean_interval(figures, seed=seed, resamples=resamples) for name, figures in values.items()}


def clustered_differences(
    values: Mapping[str, Values],
    baseline: Mapping[str, Values],
    clusters: Sequence[object],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """The mean of the paired differences of each metric, with an interval that draws whole clusters.

    Rows of one query are no independent evidence: all are drawn or none. Where every row is a query of its own this is the plain
    paired bootstrap. All metrics see the same samples.

    Args:
        values: ``(rows,)`` figures of one system, by metric.
        baseline: the other system's of the same metrics and rows.
        clusters: ``(rows,)``, whose row it is.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Raises:
        ValueError: rows or metrics that are not the same on both sides, no rows, or a figure that is not finite.
    """
    if values.keys() != baseline.keys():
        raise ValueError(f"paired figures must be of the same metrics, got {sorted(values)} and {sorted(baseline)}")
    names: dict[object, int] = {}
    of_cluster = np.array([names.setdefault(cluster, len(names)) for cluster in clusters], dtype=np.int64)
    rows = np.bincount(of_cluster, minlength=len(names))
    differences = [_paired(figures, baseline[name], len(of_cluster)) for name, figures in values.items()]
    sums = np.stack([np.bincount(of_cluster, weights=each, minlength=len(names)) for each in differences], axis=1).astype(np.float64)
    means = _resampled_ratios(sums, rows, np.random.default_rng(seed), resamples)
    tail = (1 - LEVEL) / 2
    lows, highs = np.quantile(means, [tail, 1 - tail], axis=0)
    return {
        name: Estimate(value=float(each.mean()), low=float(low), high=float(high))
        for name, each, low, high in zip(values, differences, lows, highs, strict=True)
    }


def _paired(values: Values, baseline: Values, rows: int) -> npt.NDArray[np.float64]:
    if not np.shape(values) == np.shape(baseline) == (rows,) or not rows:
        raise ValueError(f"paired figures must be {rows or 'one or more'} rows, got the shapes {np.shape(values)} and {np.shape(baseline)}")
    difference = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if not np.isfinite(difference).all():
        raise ValueError(f"{int((~np.isfinite(difference)).sum())} of {rows} figures are not finite")
    return difference


def _resampled_ratios(
    sums: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> npt.NDArray[np.float64]:
    """Means over rows of ``resamples`` samples of clusters, ``(resamples, metrics)``."""
    clusters = len(rows)
    means = np.empty((resamples, sums.shape[1]))
    step = max(1, _DRAWS_AT_A_TIME // clusters)
    for start in range(0, resamples, step):
        drawn = generator.integers(clusters, size=(min(step, resamples - start), clusters))
        times = np.stack([np.bincount(sample, minlength=clusters) for sample in drawn]).astype(np.float64)
        means[start : start + step] = (times @ sums) / (times @ rows)[:, None]
    return means


def _resampled_means(values: npt.NDArray[np.float64], generator: np.random.Generator, resamples: int) -> npt.NDArray[np.float64]:
    """Means of ``resamples`` samples drawn with replacement.

    Few distinct values (hits and misses) are drawn as multinomial counts: the same distribution in a fraction of the time.
    """
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) == 1:
        return np.full(resamples, levels[0])
    few = len(levels) * 32 <= len(values)
    width = len(levels) if few else len(values)
    means = np.empty(resamples)
    step = max(1, _DRAWS_AT_A_TIME // width)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        if few:
            drawn = generator.multinomial(len(values), counts / len(values), size=rows)
            means[start : start + rows] = drawn @ levels / len(values)
        else:
            means[start : start + rows] = values[generator.integers(len(values), size=(rows, len(values)))].mean(axis=1)
    return means
