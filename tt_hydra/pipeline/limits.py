"""The figures of a run that the limits of a budget are held against."""

from __future__ import annotations

from collections.abc import Mapping

from tt_hydra.index.budget import RECALL_LIMIT, Budget

FIGURES = {
    "latency_p99_ms": ("search/p99_ms",),
    "bytes_per_item": ("index/bytes_per_item",),
    "bytes_total": ("index/bytes_total",),
    "build_s": ("index/build_s",),
    RECALL_LIMIT: ("valid/ann/recall@10", "test/ann/recall@10"),
}
"""For each limit the figures that tell whether it is kept; the first that was measured counts."""


def missed(budget: Budget, metrics: Mapping[str, float]) -> list[str]:
    """The limits that these figures do not keep, each as a sentence."""
    return budget.told_missed(_measured(metrics))


def excess(budget: Budget, metrics: Mapping[str, float]) -> dict[str, float]:
    """For each limit that is set and was measured, how far beyond it the figure is: kept where not above zero."""
    measured = _measured(metrics)
    found = {name: (limit, measured[name]) for name, limit in budget.limits().items() if name in measured}
    return {f"budget.{name}": limit - value if name == RECALL_LIMIT else value - limit for name, (limit, value) in found.items()}


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    first = {limit: next((key for key in keys if key in metrics), None) for limit, keys in FIGURES.items()}
    return {limit: metrics[key] for limit, key in first.items() if key is not None}
