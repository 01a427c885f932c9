from __future__ import annotations

import pytest

from tt_hydra.temperature.cosine import Cosine


def test_third_and_half_of_the_way() -> None:
    """cos(pi / 3) = 1/2, so a third of the time is a quarter of the way."""
    module = Cosine(start=0.5, end=0.1).build()
    assert module(1 / 3).item() == pytest.approx(0.4)
    assert module(0.5).item() == pytest.approx(0.3)
