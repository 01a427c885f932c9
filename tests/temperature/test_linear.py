from __future__ import annotations

import pytest

from tt_hydra.temperature.linear import Linear


def test_a_quarter_of_the_way() -> None:
    assert Linear(start=0.4, end=0.2).build()(0.25).item() == pytest.approx(0.35)


def test_it_may_rise() -> None:
    assert Linear(start=0.1, end=0.3).build()(0.5).item() == pytest.approx(0.2)
