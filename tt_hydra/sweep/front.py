"""Pareto fronts over any objectives, and the volume that a front dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray
from tt_hydra.index.tune.dominance import dominated
from tt_hydra.sweep.objective import Direction
from tt_hydra.sweep.record import TrialRecord

Points = Sequence[Sequence[float]]
QUALITY: Mapping[str, Direction] = {"quality": "maximize", "p99_ms": "minimize", "bytes_per_item": "minimize"}
"""What a served index is judged by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPoint:
    """One index of one trial, as it was measured.

    Attributes:
        trial: the trial's number.
        name: of the index; empty where the trial tried no other.
        overrides: what makes it, the trial's own included.
        quality: ``valid/index/recall@10``, or recall@10 against exact search where there are no labels.
        p99_ms: single-query search time.
        bytes_per_item: of the saved files.
        meets: whether it keeps the budget.
        on_front: whether no other point of any trial is at least as good in all three and better in one.
    """

    trial: int
    name: str
    overrides: str
    quality: float
    p99_ms: float
    bytes_per_item: float
    meets: bool = True
    on_front: bool = False


def on_front(points: Points, directions: Sequence[Direction]) -> BoolArray:
    """Which points no other point dominates; equal points stand or fall together.

    Args:
        points: ``(points, objectives)``.
        directions: of each objective.

    Returns:
        ``(points,)`` bool; a point with a figure that is not finite is never on the front.
    """
    losses = _losses(points, directions)
    sound: BoolArray = np.asarray(np.isfinite(losses).all(axis=1))
    kept = sound.copy()
    kept[sound] = ~dominated(losses[sound])
    return kept


def hypervolume(points: Points, reference: Sequence[float], directions: Sequence[Direction]) -> float:
    """The exact volume between a reference point and the points that are better than it in every objective.

    By slices along the last objective, each of which is a problem with one objective less (While et al., "A faster algorithm for
    calculating hypervolume", 2006).

    Args:
        points: ``(points, objectives)``; dominated ones change nothing.
        reference: ``(objectives,)``, a point that is just acceptable.
        directions: of each objective.
    """
    worst = _losses([reference], directions)[0]
    losses = _losses(points, directions)
    inside = losses[(losses < worst).all(axis=1)]
    return _volume(inside, worst)


def points_of(trials: Sequence[TrialRecord]) -> list[TrialPoint]:
    """Every operating point of every complete trial, and which are on the front of all of them."""
    found = [point for trial in trials if trial.state == "complete" for point in _points(trial)]
    kept = on_front([[point.quality, point.p99_ms, point.bytes_per_item] for point in found], list(QUALITY.values()))
    return [replace(point, on_front=bool(front)) for point, front in zip(found, kept, strict=True)]


def _losses(points: Points, directions: Sequence[Direction]) -> npt.NDArray[np.float64]:
    """Every objective as one to minimise."""
    signs = np.array([-1.0 if way == "maximize" else 1.0 for way in directions])
    losses: npt.NDArray[np.float64] = np.asarray(points, dtype=np.float64).reshape(-1, len(signs)) * signs
    return losses


def _volume(points: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points[:, 0].min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    depths = np.append(ordered[:, -1], reference[-1])
    total = 0.0
    for place in range(len(ordered)):
        depth = depths[place + 1] - depths[place]
        if depth > 0:
            total += depth * _volume(_front_of(ordered[: place + 1, :-1]), reference[:-1])
    return float(total)


def _front_of(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    distinct = np.unique(points, axis=0)
    return distinct[on_front(distinct.tolist(), ["minimize"] * distinct.shape[1])]


def _points(trial: TrialRecord) -> list[TrialPoint]:
    own = " ".join(trial.overrides)
    if not trial.points:
        return _measured(trial, own)
    labelled = [point for point in trial.points if point.quality is not None]  # indexes of earlier versions may lack it, and did not win
    return [
        TrialPoint(
            trial=trial.number,
            name=point.name,
            overrides=f"{own} {point.overrides}".strip(),
            quality=point.recall.value if point.quality is None else point.quality,
            p99_ms=point.p99_ms,
            bytes_per_item=point.bytes_per_item,
            meets=point.meets,
        )
        for point in labelled or trial.points
    ]


def _measured(trial: TrialRecord, overrides: str) -> list[TrialPoint]:
    """The one index of a trial that searched no others."""
    metrics = trial.metrics
    quality = metrics.get("valid/index/recall@10", metrics.get("valid/ann/recall@10"))
    p99, size = metrics.get("search/p99_ms"), metrics.get("index/bytes_per_item")
    if quality is None or p99 is None or size is None:
        return []
    return [
        TrialPoint(trial=trial.number, name="", overrides=overrides, quality=quality, p99_ms=p99, bytes_per_item=size, meets=trial.feasible)
    ]
