from __future__ import annotations

import pytest

from tt_hydra.contracts import Hardness
from tt_hydra.curriculum.step import Phase, Step
from tt_hydra.errors import ConfigError


def test_each_phase_lasts_until_the_next() -> None:
    phases = (Phase(share=0.0), Phase(start=0.4, window=(5, 9), margin=0.9), Phase(start=1.0, temperature=0.5))
    state = Step(phases=phases).build()
    assert state(0.0) == state(0.399) == Hardness(share=0.0)
    assert state(0.4) == state(0.999) == Hardness(window=(5, 9), margin=0.9)
    assert state(1.0) == Hardness(temperature=0.5)


@pytest.mark.parametrize("starts", [[], [0.1], [0.0, 0.5, 0.5], [0.0, 0.6, 0.5], [0.0, 1.1]])
def test_phases_that_do_not_follow_each_other_are_refused(starts: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"curriculum\.phases"):
        Step(phases=tuple(Phase(start=start) for start in starts))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"share": 1.5}, "share"),
        ({"share": -0.1}, "share"),
        ({"window": (0, 5)}, "window"),
        ({"window": (6, 5)}, "window"),
        ({"margin": 0.0}, "margin"),
        ({"margin": float("inf")}, "margin"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_values_are_checked(values: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"curriculum\.{key}"):
        Phase(**values)  # type: ignore[arg-type]
