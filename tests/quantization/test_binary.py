from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.binary import Binary


def test_rescoring_has_its_default_and_is_never_negative() -> None:
    assert Binary().refine == 10
    with pytest.raises(IndexSpecError, match=r"quantization\.refine=-1"):
        Binary(refine=-1)
