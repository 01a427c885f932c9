from __future__ import annotations

import pytest

from tt_hydra.report import figures


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        (figures.milliseconds, 0.0834, "0.0834 ms"),
        (figures.milliseconds, 12.34, "12.3 ms"),
        (figures.milliseconds, 1234.0, "1,234 ms"),
        (figures.seconds, 0.0, "0.00 s"),
        (figures.seconds, 59.4, "59.4 s"),
        (figures.seconds, 59.96, "1 min 00 s"),
        (figures.seconds, 185.2, "3 min 05 s"),
        (figures.seconds, 3599.7, "1 h 00 min"),
        (figures.seconds, 7620.0, "2 h 07 min"),
        (figures.size, 256.0, "256 B"),
        (figures.size, 296.4, "296 B"),
        (figures.size, 1500.0, "1.50 kB"),
        (figures.size, 12_300_000.0, "12.3 MB"),
        (figures.plain, 100_000.0, "100,000"),
        (figures.plain, 0.15, "0.15"),
        (figures.plain, float("nan"), "–"),
        (figures.plain, None, "–"),
    ],
)
def test_numbers_in_words(word, value, expected):
    assert word(value) == expected


def test_quality_puts_the_headline_first_and_depths_in_order():
    names = ["mrr@10", "recall@100", "recall@20", "ndcg@10", "recall@10"]
    metrics = {f"test/model/{name}": 0.1 for name in names} | {"test/model/recall@10/ci_low": 0.05, "test/index/recall@50": 0.2}
    rows = figures.quality(metrics, "test")
    assert [row.name for row in rows] == ["recall@10", "ndcg@10", "mrr@10", "recall@20", "recall@50", "recall@100"]
    assert rows[4].model is None
    assert rows[4].index == figures.Figure(0.2)


def test_test_is_preferred_to_validation():
    assert figures.splits({"valid/model/recall@10": 0.1, "test/ann/recall@10": 0.1, "search/p50_ms": 1}) == ["test", "valid"]
    assert figures.splits({"valid/model/recall@10": 0.1}) == ["valid"]


def test_stages_in_the_order_in_which_they_run():
    metrics = {"stage/index/seconds": 2.0, "stage/mine/seconds": 3.0, "stage/prepare/seconds": 0.0, "stage/prepare/reused": 1}
    assert [(stage.name, stage.seconds, stage.reused) for stage in figures.stages(metrics)] == [
        ("prepare", 0.0, True),
        ("index", 2.0, False),
        ("mine", 3.0, False),
    ]
