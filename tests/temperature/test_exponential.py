from __future__ import annotations

import pytest

from tt_hydra.temperature.exponential import Exponential


def test_half_way_is_the_geometric_mean() -> None:
    assert Exponential(start=1.0, end=0.01).build()(0.5).item() == pytest.approx(0.1)


def test_a_quarter_of_the_way() -> None:
    assert Exponential(start=0.16, end=0.01).build()(0.25).item() == pytest.approx(0.08)
