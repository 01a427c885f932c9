from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.int8 import Int8


def test_rescoring_has_its_default_and_is_never_negative() -> None:
    assert Int8().refine == 0
    with pytest.raises(IndexSpecError, match=r"quantization\.refine=-1"):
        Int8(refine=-1)
