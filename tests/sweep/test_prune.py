"""Rules of pruning on curves whose order is plain to see."""

from __future__ import annotations

import pytest

from tt_hydra.sweep.prune import Curve, Pruning

OTHERS = [Curve(number, [0.1 * number + 0.01 * epoch for epoch in range(9)], ended=True) for number in range(8)]
"""Best values after one epoch: 0, .1 ... .7."""


def own(*values: float, number: int = 8) -> Curve:
    return Curve(number, values, ended=False)


def test_asha_keeps_the_best_third_at_its_rungs():
    rule = Pruning("asha", after=1, factor=3)
    assert rule.verdict(own(0.65), OTHERS) == "", "second of nine, three are kept"
    assert rule.verdict(own(0.55), OTHERS) == "", "third of nine"
    assert "not among the best 3 of 9" in rule.verdict(own(0.45), OTHERS)
    assert rule.verdict(own(0.45, 0.1), OTHERS) == "", "two epochs are no rung"
    assert rule.verdict(own(0.0, 0.0, 0.0), OTHERS) != "", "three are"
    assert rule.verdict(own(0.6, 0.0, 0.0), OTHERS) == "", "what it had before counts: .6 against .72, .62 and .52"


def test_rungs_begin_later():
    rule = Pruning("asha", after=2, factor=2)
    pruned = [epochs for epochs in range(1, 10) if rule.verdict(own(*[0.0] * epochs), OTHERS)]
    assert pruned == [2, 4, 8]


def test_nothing_is_pruned_before_enough_others_came_as_far():
    young = [Curve(number, [0.9], ended=False) for number in range(8)]
    assert Pruning("asha").verdict(own(0.1), young[:3]) == ""
    assert Pruning("asha").verdict(own(0.1), young) != ""
    assert Pruning("asha").verdict(own(0.1, 0.1, 0.1), young) == "", "they have not come to the third epoch"
    early = [Curve(number, [0.9], ended=True) for number in range(8)]
    assert Pruning("asha").verdict(own(0.1, 0.1, 0.1), early) != "", "trainings that are over have their last value for good"
    assert Pruning("asha").verdict(own(0.1), [Curve(number, [], ended=True) for number in range(8)]) == ""


def test_hyperband_compares_within_its_bracket_whose_rungs_begin_later():
    rule = Pruning("hyperband", after=1, factor=2)
    many = [Curve(number, [0.5] * 9, ended=True) for number in range(24)]
    pruned = {
        number: [epochs for epochs in range(1, 10) if rule.verdict(own(*[0.1] * epochs, number=number), many)] for number in (24, 25, 26)
    }
    assert pruned == {24: [1, 2, 4, 8], 25: [2, 4, 8], 26: [4, 8]}
    alone = [Curve(number, [0.5] * 9, ended=True) for number in range(0, 24) if number % 3]
    assert rule.verdict(own(0.1, number=24), alone) == "", "nobody else is in its bracket"


@pytest.mark.parametrize(("value", "pruned"), [(0.34, True), (0.36, False)])
def test_median(value, pruned):
    assert bool(Pruning("median").verdict(own(value), OTHERS)) == pruned
    assert Pruning("median", after=2).verdict(own(value), OTHERS) == ""


def test_none():
    assert Pruning("none").verdict(own(0.0), OTHERS) == ""
