"""Figures of a run held against a budget."""

from __future__ import annotations

from tt_hydra.index.budget import Budget
from tt_hydra.pipeline.limits import excess, missed

FIGURES = {
    "search/p99_ms": 3.0,
    "index/bytes_per_item": 50.0,
    "index/bytes_total": 5000.0,
    "index/build_s": 2.0,
    "valid/ann/recall@10": 0.9,
    "test/ann/recall@10": 0.8,
}


def test_a_limit_that_is_not_kept_is_told_with_what_was_measured() -> None:
    budget = Budget(latency_p99_ms=2, bytes_per_item=50, recall_vs_exact=0.95)
    assert missed(budget, FIGURES) == ["budget.latency_p99_ms=2, measured 3", "budget.recall_vs_exact=0.95, measured 0.9"]
    assert missed(Budget(latency_p99_ms=2), {}) == [], "what was not measured is not missed"


def test_how_far_a_figure_is_beyond_its_limit() -> None:
    """Above zero where the limit is not kept, for the limit from below, too; of two recalls that of validation counts."""
    budget = Budget(latency_p99_ms=2, bytes_total=6000, build_s=2, recall_vs_exact=0.95)
    found = excess(budget, FIGURES)
    assert found.pop("budget.recall_vs_exact") == 0.95 - 0.9
    assert found == {"budget.latency_p99_ms": 1, "budget.bytes_total": -1000, "budget.build_s": 0}
    assert excess(budget, {"test/ann/recall@10": 1.0}).keys() == {"budget.recall_vs_exact"}
