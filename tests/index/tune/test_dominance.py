from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.index.tune.dominance import on_front


@pytest.mark.parametrize("seed", range(30))
def test_the_front_is_what_nobody_dominates_and_covers_the_rest(seed) -> None:
    generator = np.random.default_rng(seed)
    costs = generator.integers(0, 5, size=(generator.integers(1, 40), 3)).astype(float)
    front = on_front(costs)

    def dominates(a: int, b: int) -> bool:
        return all(costs[a, c] <= costs[b, c] for c in range(3)) and any(costs[a, c] < costs[b, c] for c in range(3))

    for row in range(len(costs)):
        dominated = any(dominates(other, row) for other in range(len(costs)))
        repeated = any((costs[other] == costs[row]).all() for other in range(row))
        assert front[row] == (not dominated and not repeated)
        assert front[row] or any(front[other] and (costs[other] <= costs[row]).all() for other in range(len(costs)))


def test_nothing_has_no_front() -> None:
    assert len(on_front([])) == 0
