"""Which measured point is the best under a budget, and what would have to give way where none is good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tt_hydra.errors import BudgetError
from tt_hydra.index.budget import RECALL_LIMIT, Budget
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.index.tune.judge import Point

TIE = 0.001
"""Recall that is given up for less latency."""
GOAL = 0.99
"""Recall to keep where the budget says nothing."""
ALIKE = 1.1
"""Ratio of two latencies that noise explains."""


def goal_of(budget: Budget) -> float:
    """Recall beyond which an index need not be tuned."""
    return 1.0 if budget.costs else budget.recall_vs_exact or GOAL


def ranked(points: Sequence[Point], budget: Budget, size: int) -> list[Point]:
    """The points that keep the budget, best first."""
    kept = [point for point in points if not budget.missed(point.figures(size))]
    if not kept:
        return []
    highest = max(point.recall.value for point in kept)
    wanted = highest - TIE if budget.costs or highest < goal_of(budget) else goal_of(budget)
    quickest = min(point.p99_ms for point in kept if point.recall.value >= wanted)

    def order(point: Point) -> tuple[float, ...]:
        if point.recall.value < wanted:
            return (2.0, -point.recall.value, point.p99_ms)
        if point.p99_ms > ALIKE * quickest:
            return (1.0, point.p99_ms, point.built.bytes_per_item)
        return (0.0, point.built.bytes_per_item, point.p99_ms)

    return sorted(kept, key=order)


def reason(budget: Budget, winner: Point) -> str:
    """Why the first of ``ranked``, the winner, is the first."""
    if budget.costs:
        return f"highest recall within {_shown(budget.limits())}; of those within {TIE:g} of it the quickest"
    if budget.recall_vs_exact is not None:
        return f"quickest that keeps {_shown(budget.limits())}"
    if falls_short(budget, winner):
        own = _rounded(winner.recall.value, down=True)
        return f"none of those measured again reaches a recall of {GOAL:g}: the quickest within {TIE:g} of the highest, itself at {own}"
    return f"quickest with a recall of {GOAL:g} or more"


def falls_short(budget: Budget, winner: Point) -> bool:
    """Whether the budget says nothing, and even the best has less recall than is kept by default."""
    return not budget.limits() and winner.recall.value < GOAL


def refusal(points: Sequence[Point], budget: Budget, size: int) -> BudgetError:
    """Names the limits that bind, and for each of them the least relaxation with which a measured point keeps the rest.

    Args:
        points: as measured; those that keep the budget did so on the queries for tuning alone, and tell nothing.
        budget: the limits.
        size: number of items.
    """
    points = [point for point in points if budget.missed(point.figures(size))]
    best: dict[str, tuple[float, float, Point]] = {}
    for name, limit in budget.limits().items():
        found = _relaxed(points, budget, size, name)
        if found is not None:
            value = found.figures(size)[name]
            best[name] = (abs(value - limit) / limit, value, found)
    if not best:
        return BudgetError(_hopeless(points, budget, size))
    ways = sorted(best, key=lambda name: best[name][0])
    first = ways[0]
    _, value, point = best[first]
    rest = {name: limit for name, limit in budget.limits().items() if name != first}
    keeping = f" of those that keep {_shown(rest)}" if rest else ""
    has = f"{_BEST[first]}{keeping} has {_number(first, value)} ({point.built.candidate.name(point.params)})"
    told = f"budget.{first}={budget.limits()[first]:g} cannot be met: {has}"
    fixes = [f"{_verb(name)} budget.{name} to {_number(name, best[name][1])}" for name in ways]
    return BudgetError(f"{told}; {' or '.join(fixes)}")


def unbuilt(budget: Budget, limits: Sequence[str], candidate: Candidate, figure: float) -> BudgetError:
    """The refusal where nothing could be measured.

    Args:
        budget: the limits.
        limits: those that may bind, of which some are set.
        candidate: what comes nearest to them.
        figure: estimate of what they limit, by item where there are several of them.
    """
    names = {name: limit for name, limit in budget.limits().items() if name in limits}
    unit = "s" if "build_s" in names else "bytes an item"
    told = f"{_BEST[next(iter(names))]}, {candidate.name()}, takes some {_rounded(figure, down=False)} {unit}"
    return BudgetError(f"{_shown(names)} cannot be met: {told}, by estimate; raise the limit, or allow other index.families")


_BEST = {
    "latency_p99_ms": "the quickest index",
    "bytes_per_item": "the smallest index",
    "bytes_total": "the smallest index",
    "build_s": "the index quickest to build",
    RECALL_LIMIT: "the most exact index",
}


def _relaxed(points: Sequence[Point], budget: Budget, size: int, name: str) -> Point | None:
    """Of the points that miss this limit alone, the one that misses it least."""
    alone = [point for point in points if set(budget.missed(point.figures(size))) == {name}]
    sign = -1 if name == RECALL_LIMIT else 1
    return min(alone, key=lambda point: sign * point.figures(size)[name], default=None)


def _hopeless(points: Sequence[Point], budget: Budget, size: int) -> str:
    """No single limit is to blame: the point that is nearest, and all that it misses."""

    def distance(point: Point) -> float:
        return max(abs(value - limit) / limit for limit, value in budget.missed(point.figures(size)).values())

    point = min(points, key=distance)
    missed = budget.missed(point.figures(size))
    fixes = [f"{_verb(name)} budget.{name} to {_number(name, value)}" for name, (_, value) in missed.items()]
    limits = _shown({name: limit for name, (limit, _) in missed.items()})
    return f"{limits} cannot be met together: the nearest index is {point.built.candidate.name(point.params)}; {' and '.join(fixes)}"


def _verb(name: str) -> str:
    return "lower" if name == RECALL_LIMIT else "raise"


def _number(name: str, value: float) -> str:
    """Rounded to the side on which the limit is kept."""
    return _rounded(value, down=name == RECALL_LIMIT)


def _rounded(value: float, down: bool) -> str:
    unit = 10.0 ** (math.floor(math.log10(value)) - 2) if value > 0 else 1.0
    steps = value / unit
    return f"{(math.floor(steps + 1e-9) if down else math.ceil(steps - 1e-9)) * unit:.12g}"


def _shown(limits: Mapping[str, float]) -> str:
    return " and ".join(f"budget.{name}={limit:g}" for name, limit in limits.items())
