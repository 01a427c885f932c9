from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from training_views import ragged, request_of, view_of

from tt_hydra.contracts import Hardness, Origin
from tt_hydra.errors import ConfigError
from tt_hydra.index.flat import Flat
from tt_hydra.negatives.mined import Mined, Pools
from tt_hydra.negatives.pool import Pool

STEPS = 10
"""Of an epoch."""


def pool_of(rows: list[list[int]], scores: list[float], positives: list[float]) -> Pool:
    return Pool.of(ragged(rows), np.float32(scores), ragged([[0], [1]]), np.float32(positives), 9)


def test_the_default_index_is_exact() -> None:
    assert Mined().index == Flat()


@pytest.mark.parametrize(
    ("spec", "due", "needed"),
    [
        (Mined(), [10, 20, 30], {9: None, 10: 10, 19: 10, 20: 20}),
        (Mined(start=0, every=2), [0, 20], {0: 0, 19: 0, 20: 20}),
        (Mined(refresh="asynchronous"), [10, 20, 30], {19: None, 20: 10, 29: 10, 30: 20}),
        (Mined(unit="steps", every=4), [10, 14, 18, 22, 26, 30], {10: None, 11: 10, 14: 10, 15: 14}),
        (Mined(unit="steps", every=4, refresh="asynchronous"), [10, 14, 18, 22, 26, 30], {14: None, 15: 10, 18: 10, 19: 14}),
    ],
)
def test_the_calendar(spec: Mined, due: list[int], needed: dict[int, int | None]) -> None:
    assert [step for step in range(31) if spec.due(step, STEPS)] == due
    assert {step: spec.needed(step, STEPS) for step in needed} == needed


@pytest.mark.parametrize(
    ("spec", "allowed"),
    [
        (Mined(per_query=5), [[2, 3], [8]]),
        (Mined(per_query=5, margin=None), [[7, 2, 3], [6, 8]]),
        (Mined(per_query=5, margin=0.5), [[3], []]),
        (Mined(per_query=5, margin=0.3, margin_kind="absolute"), [[2, 3], []]),
        (Mined(per_query=5, first=2, last=2, margin=None), [[2], [8]]),
    ],
)
def test_draws_keep_their_distance_from_the_positive(spec: Mined, allowed: list[list[int]]) -> None:
    fitted = spec.fit(view_of([1] * 9, questions=np.array([0, 1])))
    fitted.steps_per_epoch = STEPS
    fitted.pools.put(10, pool_of([[7, 2, 3], [6, 8]], [0.97, 0.7, 0.2, -0.5, -0.64], [1, -0.6]))
    drawn = fitted.draw(request_of([0, 1], step=12), np.random.default_rng(0))
    assert [sorted(drawn.rows[drawn.owner == query].tolist()) for query in (0, 1)] == [sorted(rows) for rows in allowed]
    assert set(drawn.origin.tolist()) <= {Origin.MINED}


def test_hardness_goes_before_the_rule() -> None:
    fitted = Mined(per_query=2).fit(view_of([1] * 9, questions=np.array([0, 1])))
    fitted.steps_per_epoch = STEPS
    fitted.pools.put(10, pool_of([[7, 2, 3], [6, 8]], [0.97, 0.7, 0.2, -0.5, -0.64], [1, -0.6]))
    easier = fitted.draw(request_of([0], step=12, hardness=Hardness(window=(3, 3))), np.random.default_rng(0))
    assert easier.rows.tolist() == [3]
    assert len(fitted.draw(request_of([0], step=12, hardness=Hardness(share=0.0)), np.random.default_rng(0)).rows) == 0


def test_nothing_is_drawn_before_the_first_mining() -> None:
    fitted = Mined().fit(view_of([1] * 9))
    assert len(fitted.draw(request_of([0]), np.random.default_rng(0)).rows) == 0
    fitted.steps_per_epoch = STEPS
    assert len(fitted.draw(request_of([0], step=9), np.random.default_rng(0)).rows) == 0
    assert fitted.in_batch
    assert not Mined(with_in_batch=False, start=0).fit(view_of([1] * 9)).in_batch


def test_a_reader_waits_for_its_pool() -> None:
    pools, pool = Pools(), pool_of([[7], []], [0.5], [1, 1])
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(pools.get(4)))
    reader.start()
    pools.put(2, pool_of([[], []], [], [1, 1]))
    assert reader.is_alive()
    pools.put(4, pool)
    reader.join(timeout=30)
    assert found == [pool]


def test_nobody_waits_for_a_training_that_ended() -> None:
    pools = Pools()
    pools.close(ValueError("why"))
    with pytest.raises(RuntimeError, match="no negatives were mined before step 4") as refused:
        pools.get(4)
    assert isinstance(refused.value.__cause__, ValueError)


@pytest.mark.parametrize("refresh", ["between", "asynchronous"])
@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_a_pool_stays_as_long_as_a_step_may_need_it(unit: Any, refresh: Any) -> None:
    """However early a mining ends, what is drawn at its step or later is still there; and no more than three are."""
    spec, pools, pool = Mined(unit=unit, refresh=refresh, every=2, start=0), Pools(), pool_of([[7], []], [0.5], [1, 1])
    for step in range(101):
        if spec.due(step, STEPS):
            pools.put(step, pool)
        needed = spec.needed(step, STEPS)
        assert needed is None or needed in pools.known()
        assert len(pools.known()) <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last": 101}, r"negatives\.last=101 is beyond the negatives\.top=100"),
        ({"margin": 1.5}, r"negatives\.margin=1\.5 is a part"),
        ({"margin_kind": "other"}, r"negatives\.margin_kind='other' is none of relative, absolute"),
        ({"start": -1}, r"negatives\.start counts epochs"),
        ({"every": 0}, r"negatives\.every"),
        ({"with_in_batch": False}, "leaves no negative before the first mining"),
        ({"first": 5, "last": 4}, r"negatives\.last=4"),
    ],
)
def test_what_cannot_be_mined_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mined(**changes)


def test_a_catalogue_that_ends_before_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"negatives\.first=9 leaves nothing to draw: the catalogue has 9 items"):
        Mined(first=9).fit(view_of([1] * 9))
