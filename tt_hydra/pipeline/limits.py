"""By how much figures pass the limits of a budget."""

from __future__ import annotations

from collections.abc import Mapping

from tt_hydra.index.budget import RECALL, Budget

FIGURES = {
    "latency_p99_ms": ("search/p99_ms",),
    "bytes_per_item": ("index/bytes_per_item",),
    "bytes_total": ("index/bytes_total",),
    "build_s": ("index/build_s",),
    RECALL: ("valid/ann/recall@10", "test/ann/recall@10"),
}
"""The figures that a limit is held against, the first that was measured."""


def excess(budget: Budget, metrics: Mapping[str, float]) -> dict[str, float]:
    """For each limit that is set and was measured, how far beyond it the figure is: kept where not above zero."""
    found = {}
    for name, limit in budget.limits().items():
        value = next((metrics[key] for key in FIGURES[name] if key in metrics), None)
        if value is not None:
            found[f"budget.{name}"] = limit - value if name == RECALL else value - limit
    return found
