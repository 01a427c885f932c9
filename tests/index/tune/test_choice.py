"""Choices and refusals over points whose figures are written down."""

from __future__ import annotations

import pytest

from tt_hydra.contracts import Estimate
from tt_hydra.index.budget import Budget
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.choice import ranked, reason, refusal
from tt_hydra.index.tune.judge import Built, Point
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization

SIZE = 1000


def point(candidate: Candidate, recall: float, p99: float, size: float, build: float = 1.0, **params: int) -> Point:
    return Point(Built(candidate, None, build, size), params, Estimate(value=recall, low=recall, high=recall), p99 / 2, p99, p99)


FLAT = point(Candidate(Flat(), NoQuantization()), 1.0, 4.0, 256)
SMALL = point(Candidate(Flat(), Int8()), 0.97, 3.0, 64)
QUICK = point(Candidate(Ivf(nlist=16), NoQuantization()), 0.95, 0.2, 270, nprobe=2)
EXACT = point(Candidate(Ivf(nlist=16), NoQuantization()), 0.9995, 0.5, 270, nprobe=8)
GRAPH = point(Candidate(Hnsw(), NoQuantization()), 0.992, 0.4, 530, 30.0, efSearch=64)
POINTS = [FLAT, SMALL, QUICK, EXACT, GRAPH]


@pytest.mark.parametrize(
    ("budget", "best"),
    [
        (Budget(), GRAPH),
        (Budget(recall_vs_exact=0.95), QUICK),
        (Budget(recall_vs_exact=0.9999), FLAT),
        (Budget(bytes_per_item=100), SMALL),
        (Budget(bytes_per_item=300), EXACT),
        (Budget(latency_p99_ms=0.45), GRAPH),
        (Budget(latency_p99_ms=0.45, bytes_per_item=300), QUICK),
        (Budget(build_s=10, latency_p99_ms=0.45), QUICK),
        (Budget(bytes_total=100_000), SMALL),
    ],
)
def test_the_best_keeps_the_budget_and_is_the_one_that_the_budget_asks_for(budget, best) -> None:
    found = ranked(POINTS, budget, SIZE)
    assert found[0] is best
    assert all(not budget.missed(point.figures(SIZE)) for point in found)
    assert reason(budget, best)


def test_where_none_reaches_the_default_recall_the_quickest_near_the_highest_is_taken_and_told_so() -> None:
    slow, near = (point(Candidate(Ivf(nlist=16), Int8()), *figures, 74, nprobe=8) for figures in [(0.3173, 4.0), (0.3169, 0.5)])
    low = point(Candidate(Ivf(nlist=16), Int8()), 0.3, 0.1, 74, nprobe=1)
    assert ranked([low, slow, near], Budget(), SIZE)[0] is near
    told = reason(Budget(), near)
    assert told == "none of those measured again reaches a recall of 0.99: the quickest within 0.001 of the highest, itself at 0.316"
    assert reason(Budget(), GRAPH) == "quickest with a recall of 0.99 or more"
    assert reason(Budget(recall_vs_exact=0.3), near) == "quickest that keeps budget.recall_vs_exact=0.3"


def test_of_two_equally_quick_ones_the_smaller_is_taken() -> None:
    smaller = point(Candidate(Ivf(nlist=16), Int8()), 0.991, 0.42, 74, nprobe=8)
    assert ranked([*POINTS, smaller], Budget(), SIZE)[0] is smaller


REFUSED = [
    (
        Budget(bytes_per_item=20, recall_vs_exact=0.95),
        "budget.bytes_per_item=20 cannot be met: the smallest index of those that keep budget.recall_vs_exact=0.95 has 64 (flat int8); "
        "raise budget.bytes_per_item to 64",
    ),
    (
        Budget(bytes_per_item=100, recall_vs_exact=0.99),
        "budget.recall_vs_exact=0.99 cannot be met: the most exact index of those that keep budget.bytes_per_item=100 has 0.97 "
        "(flat int8); lower budget.recall_vs_exact to 0.97 or raise budget.bytes_per_item to 256",
    ),
    (
        Budget(latency_p99_ms=0.1),
        "budget.latency_p99_ms=0.1 cannot be met: the quickest index has 0.2 (ivf nlist=16 none nprobe=2); "
        "raise budget.latency_p99_ms to 0.2",
    ),
    (
        Budget(build_s=0.5),
        "budget.build_s=0.5 cannot be met: the index quickest to build has 1 (flat none); raise budget.build_s to 1",
    ),
    (
        Budget(bytes_per_item=20, latency_p99_ms=2.0),
        "budget.bytes_per_item=20 cannot be met: the smallest index of those that keep budget.latency_p99_ms=2 has 270 "
        "(ivf nlist=16 none nprobe=2); raise budget.bytes_per_item to 270",
    ),
    (
        Budget(bytes_per_item=20, latency_p99_ms=0.1),
        "budget.latency_p99_ms=0.1 and budget.bytes_per_item=20 cannot be met together: the nearest index is "
        "ivf nlist=16 none nprobe=2; raise budget.latency_p99_ms to 0.2 and raise budget.bytes_per_item to 270",
    ),
]


@pytest.mark.parametrize(("budget", "told"), REFUSED)
def test_a_refusal_names_what_binds_and_the_cheapest_relaxation(budget, told) -> None:
    assert str(refusal(POINTS, budget, SIZE)) == told


def test_a_point_that_kept_the_budget_on_other_queries_alone_gives_no_way_out() -> None:
    """It was not measured again; the one that was misses two limits, and is the one to tell of."""
    assert str(refusal([SMALL, FLAT], Budget(bytes_per_item=100, latency_p99_ms=3.5), SIZE)) == (
        "budget.latency_p99_ms=3.5 and budget.bytes_per_item=100 cannot be met together: the nearest index is flat none; "
        "raise budget.latency_p99_ms to 4 and raise budget.bytes_per_item to 256"
    )


def test_a_relaxation_that_is_told_is_enough() -> None:
    odd = point(Candidate(Flat(), Int8()), 0.97368, 3.14159, 64.0312)
    told = str(refusal([odd], Budget(bytes_per_item=20), SIZE))
    assert "to 64.1" in told
    assert "to 0.973" in str(refusal([odd], Budget(recall_vs_exact=0.99), SIZE))
