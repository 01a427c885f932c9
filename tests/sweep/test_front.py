from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tt_hydra.contracts import Estimate, OperatingPoint
from tt_hydra.sweep.front import hypervolume, on_front, points_of
from tt_hydra.sweep.record import TrialRecord

WAYS = ("maximize", "minimize")


def brute_force(points, directions):
    """Point by point, as the definition says."""

    def beats(one, other):
        gains = [(a - b) if way == "maximize" else (b - a) for a, b, way in zip(one, other, directions, strict=True)]
        return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)

    return [not any(beats(other, point) for other in points) for point in points]


@pytest.mark.parametrize("seed", range(12))
def test_the_front_is_that_of_the_definition(seed):
    random = np.random.default_rng(seed)
    objectives = int(random.integers(1, 5))
    directions = [WAYS[each] for each in random.integers(2, size=objectives)]
    # few levels, so that points tie and repeat
    points = random.integers(0, 5, size=(int(random.integers(1, 60)), objectives)).astype(float).tolist()
    assert on_front(points, directions).tolist() == brute_force(points, directions)


def test_many_points_go_in_parts():
    points = np.random.default_rng(0).random((1300, 3)).tolist()
    directions = ["maximize", "minimize", "minimize"]
    kept = on_front(points, directions)
    front = [point for point, kept_one in zip(points, kept, strict=True) if kept_one]
    assert brute_force(front, directions) == [True] * len(front)
    others = [point for point, kept_one in zip(points, kept, strict=True) if not kept_one][:50]
    assert all(not brute_force([*front, other], directions)[-1] for other in others)


def test_a_figure_that_is_no_number_is_on_no_front():
    assert on_front([[float("nan"), 1.0], [1.0, 2.0], [0.0, 3.0]], WAYS).tolist() == [False, True, False]
    assert on_front([], WAYS).tolist() == []


def test_two_objectives_by_hand():
    """Against (0, 10), recall up and milliseconds down: (1, 4) covers 1 x 6; (2, 7) adds 1 x 3; (1, 8) lies inside."""
    points = [[1.0, 4.0], [2.0, 7.0], [1.0, 8.0]]
    assert hypervolume(points, [0.0, 10.0], WAYS) == pytest.approx(9.0)
    assert hypervolume(points[:1], [0.0, 10.0], WAYS) == pytest.approx(6.0)
    assert hypervolume([[-1.0, 4.0], [1.0, 11.0]], [0.0, 10.0], WAYS) == 0.0
    assert hypervolume([], [0.0, 10.0], WAYS) == 0.0


def test_three_objectives_by_hand():
    """Boxes 1 x 2 x 2 and 2 x 1 x 1 share 1 x 1 x 1: 4 + 2 - 1."""
    points = [[2.0, 1.0, 1.0], [1.0, 2.0, 2.0]]
    assert hypervolume(points, [3.0, 3.0, 3.0], ["minimize"] * 3) == pytest.approx(5.0)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_any_number_of_objectives_by_counting_cells(objectives):
    """Whole coordinates: the volume is the number of unit cells that some point covers."""
    points = np.random.default_rng(objectives).integers(0, 6, size=(9, objectives))
    cells = itertools.product(range(6), repeat=objectives)
    covered = sum(any((point <= cell).all() for point in points) for cell in map(np.array, cells))
    assert hypervolume(points.tolist(), [6.0] * objectives, ["minimize"] * objectives) == pytest.approx(covered)


def test_a_dominated_point_and_a_second_copy_change_nothing():
    points = [[0.5, 3.0], [0.7, 5.0]]
    more = [*points, points[0], [0.4, 4.0]]
    assert hypervolume(more, [0.0, 10.0], WAYS) == pytest.approx(hypervolume(points, [0.0, 10.0], WAYS))


POINT = OperatingPoint(
    name="hnsw",
    overrides="index=hnsw",
    family="hnsw",
    quantization="none",
    dim=8,
    recall=Estimate(value=0.9, low=0.8, high=1.0),
    quality=0.3,
    p50_ms=0.1,
    p95_ms=0.2,
    p99_ms=0.3,
    bytes_per_item=64.0,
    build_s=1.0,
)
METRICS = {"valid/index/recall@10": 0.25, "search/p99_ms": 0.2, "index/bytes_per_item": 32.0}


def test_points_of_all_trials_enter_one_front():
    worse = replace(POINT, name="slow", p99_ms=0.5)
    trials = [
        TrialRecord(number=0, state="complete", overrides=["a=1"], points=[POINT, worse]),
        TrialRecord(number=1, state="complete", overrides=["a=2"], metrics=METRICS),
        TrialRecord(number=2, state="complete", metrics={"valid/index/recall@10": 0.9}),
        TrialRecord(number=3, state="pruned", metrics={**METRICS, "valid/index/recall@10": 1.0}),
        TrialRecord(number=4, state="complete", metrics={**METRICS, "search/p99_ms": 0.3}),
    ]
    found = points_of(trials)
    assert [(point.trial, point.name, point.on_front) for point in found] == [
        (0, "hnsw", True),
        (0, "slow", False),
        (1, "", True),
        (4, "", False),
    ]
    assert found[0].overrides == "a=1 index=hnsw"
    assert found[2].overrides == "a=2"


def test_without_labels_recall_against_exact_search_counts():
    trials = [TrialRecord(number=0, state="complete", points=[replace(POINT, quality=None)])]
    assert points_of(trials)[0].quality == 0.9
    ann = {"valid/ann/recall@10": 0.95, "search/p99_ms": 0.2, "index/bytes_per_item": 32.0}
    assert points_of([TrialRecord(number=0, state="complete", metrics=ann)])[0].quality == 0.95


def test_points_whose_quality_was_not_judged_are_not_held_against_those_of_other_trials():
    """Recall against exact search is near one however bad a model is: it would beat the quality of every other trial."""
    dropped = replace(POINT, name="dropped", quality=None, recall=Estimate(value=0.95, low=0.9, high=1.0))
    trials = [
        TrialRecord(number=0, state="complete", points=[replace(POINT, quality=0.2), dropped]),
        TrialRecord(number=1, state="complete", points=[replace(POINT, quality=0.3)]),
    ]
    assert [(point.trial, point.quality, point.on_front) for point in points_of(trials)] == [(0, 0.2, False), (1, 0.3, True)]


def test_no_trial():
    assert points_of([]) == []
