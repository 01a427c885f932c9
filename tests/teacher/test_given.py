from __future__ import annotations

from tt_hydra.teacher.given import Given


def test_no_model_is_asked() -> None:
    assert Given().build() is None
