from __future__ import annotations

from tt_hydra.contracts import Hardness
from tt_hydra.curriculum.none import NoCurriculum


def test_everything_is_left_as_it_is() -> None:
    state = NoCurriculum().build()
    assert state(0.0) == state(1.0) == Hardness(share=1.0, window=None, margin=None, temperature=1.0)
