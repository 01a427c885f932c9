from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.contracts import Estimate, Features
from tt_hydra.export.int8 import Loss, cosine, latencies, loss
from tt_hydra.export.result import FLOAT, INT8, TORCH, Quantized


def test_loss_by_hand() -> None:
    """Twelve items on the axes of twelve dimensions: a query finds those with its largest entries."""
    items = np.eye(12, dtype=np.float32)
    exact = np.array([np.arange(12, 0, -1), np.arange(1, 13)], np.float32)
    quantized = exact.copy()
    quantized[0, [0, 11]] = quantized[0, [11, 0]]  # its first item falls out of the ten, its last comes in
    found = loss(exact, quantized, items, "dot")
    assert found.queries == 2
    assert found.recall.value == pytest.approx((0.9 + 1.0) / 2)
    norm = float((exact[0] ** 2).sum())
    assert found.cosine_lowest == pytest.approx((norm - (12 - 1) ** 2) / norm)
    assert found.cosine_mean == pytest.approx((found.cosine_lowest + 1) / 2)
    assert found.to_json()["recall@10"]["value"] == pytest.approx(0.95)


def test_fewer_items_than_ten() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert loss(vectors, vectors, vectors, "cosine").recall.value == 1.0


def test_cosine_of_zeros() -> None:
    left, right = np.array([[0, 0], [0, 0], [3, 4]], np.float32), np.array([[0, 0], [1, 0], [-3, -4]], np.float32)
    np.testing.assert_allclose(cosine(left, right), [1, 0, -1], atol=1e-7)


def test_every_arm_is_asked_for_single_queries() -> None:
    asked: list[tuple[str, int]] = []
    arms = {name: lambda features, name=name: asked.append((name, features.size)) for name in ("a", "b")}
    found = latencies(arms, [Features(1, {}), Features(1, {})])
    assert list(found) == ["a", "b"]
    assert {each for each in asked} == {("a", 1), ("b", 1)}
    assert [name for name, _ in asked][:8] == ["a"] * 7 + ["b"]


@pytest.mark.parametrize(("milliseconds", "words"), [(0.5, "25% of the time"), (1.96, "not faster here: 1.96 ms against 2 ms")])
def test_the_verdict_says_so_where_it_does_not_pay(milliseconds: float, words: str) -> None:
    measured = Loss(queries=1, cosine_mean=1.0, cosine_lowest=1.0, recall=Estimate(value=1.0, low=1.0, high=1.0))
    times = {TORCH: 3.0, FLOAT: 2.0, INT8: milliseconds}
    assert words in Quantized(file="q", loss=measured, bytes={}, p50_ms=times).verdict
