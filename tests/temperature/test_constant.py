from __future__ import annotations

import pytest

from tt_hydra.temperature.constant import Constant


def test_stays() -> None:
    module = Constant(start=0.3).build()
    assert [module(progress).item() for progress in (0.0, 0.4, 1.0)] == [pytest.approx(0.3)] * 3
