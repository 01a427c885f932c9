from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.pca import Pca


def test_keeps_half_unless_told() -> None:
    assert [Pca().resolve(dim) for dim in (64, 7, 1)] == [32, 3, 1]
    assert Pca(dim=5).resolve(8) == 5


def test_more_dimensions_than_there_are_is_refused() -> None:
    with pytest.raises(IndexSpecError, match=r"dim=9 is more than the 8.*1 \.\. 8"):
        Pca(dim=9).resolve(8)
    with pytest.raises(IndexSpecError, match=r"quantization\.dim=0"):
        Pca(dim=0)


def test_kept_dimensions_are_stored_as_floats_or_bytes() -> None:
    with pytest.raises(IndexSpecError, match=r"quantization\.store='int4'"):
        Pca(store="int4")  # type: ignore[arg-type]
