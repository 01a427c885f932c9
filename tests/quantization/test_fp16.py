from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.fp16 import Fp16


def test_rescoring_has_its_default_and_is_never_negative() -> None:
    assert Fp16().refine == 0
    with pytest.raises(IndexSpecError, match=r"quantization\.refine=-1"):
        Fp16(refine=-1)
