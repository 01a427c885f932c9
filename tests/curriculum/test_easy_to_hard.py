from __future__ import annotations

import dataclasses
import itertools

import pytest

from tt_hydra.contracts import Hardness
from tt_hydra.curriculum.easy_to_hard import EasyToHard
from tt_hydra.errors import ConfigError

LINEAR = EasyToHard(share_start=0.2, share_end=1.0, window_start=(50, 100), window_end=(1, 30), margin_start=0.5, margin_end=0.9, until=0.8)


def test_linear_by_hand() -> None:
    """Half of the way at progress .4."""
    middle = LINEAR.build()(0.4)
    assert (middle.share, middle.margin) == (pytest.approx(0.6), pytest.approx(0.7))
    assert middle.window == (round(25.5), 65)


def test_cosine_by_hand() -> None:
    """A quarter of the way in time is (1 - cos 45 degrees) / 2 = .1464 of it."""
    state = dataclasses.replace(LINEAR, shape="cosine", until=1.0).build()
    hardness = state(0.25)
    assert hardness.share == pytest.approx(0.2 + 0.8 * 0.146447)
    assert hardness.window == (43, 90)
    assert state(0.5).share == pytest.approx(0.6)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_exact_at_the_ends_and_held_after_the_end(shape: str) -> None:
    state = dataclasses.replace(LINEAR, shape=shape).build()
    assert state(0.0) == Hardness(share=0.2, window=(50, 100), margin=0.5)
    assert state(0.8) == state(0.9) == state(1.0) == Hardness(share=1.0, window=(1, 30), margin=0.9)


def test_the_sampler_s_margin_stays_where_none_is_said() -> None:
    assert EasyToHard().build()(0.4).margin is None


def test_it_never_gets_easier() -> None:
    asked = [LINEAR.build()(step / 50) for step in range(51)]
    for easier, harder in itertools.pairwise(asked):
        assert easier.share <= harder.share
        assert easier.window >= harder.window  # type: ignore[operator]
        assert easier.window[1] >= harder.window[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"share_start": 2.0}, "share_start"),
        ({"window_end": (9, 8)}, "window_end"),
        ({"margin_start": 0.5, "margin_end": -1.0}, "margin_end"),
        ({"margin_end": 0.9}, "margin_start"),
        ({"until": 0.0}, "until"),
        ({"until": 1.5}, "until"),
    ],
)
def test_values_are_checked(values: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"curriculum\.{key}"):
        EasyToHard(**values)  # type: ignore[arg-type]
