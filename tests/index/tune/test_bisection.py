from __future__ import annotations

import pytest

from tt_hydra.index.tune.bisection import smallest


@pytest.mark.parametrize("precision", [1.0, 1.1, 1.5])
@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 2), (3, 40), (1, 1000), (64, 128)])
def test_finds_the_turning_point_to_the_precision_asked_for(low, high, precision) -> None:
    for turn in range(low, high + 1):
        asked: list[int] = []
        found = smallest(lambda number, turn=turn, asked=asked: asked.append(number) or number >= turn, low, high, precision)
        assert turn <= found <= max(turn * precision, turn), turn
        assert high not in asked, "it is known to hold there"
        assert len(asked) <= 14, "a bisection, no scan"
        assert len(set(asked)) == len(asked)


def test_a_property_that_holds_from_the_start_is_asked_about_once() -> None:
    asked: list[int] = []
    assert smallest(lambda number: asked.append(number) or True, 5, 500) == 5
    assert asked == [5]
