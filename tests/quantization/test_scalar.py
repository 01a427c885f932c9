from __future__ import annotations

import pytest
from vector_cases import DIM, SIZE, catalogue

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.quantization.scalar import Scalar


def test_takes_four_or_six_bits() -> None:
    assert Scalar().bits == 6
    with pytest.raises(IndexSpecError, match=r"quantization\.bits=8.*int8"):
        Scalar(bits=8)  # type: ignore[arg-type]
    with pytest.raises(IndexSpecError, match=r"quantization\.refine=-1"):
        Scalar(refine=-1)


@pytest.mark.parametrize("bits", [4, 6])
def test_a_vector_takes_so_many_bits_a_dimension(bits, tmp_path) -> None:
    build_index(Flat(), Scalar(bits=bits), catalogue(), "dot").save(tmp_path)
    codes = SIZE * DIM * bits / 8
    assert codes < (tmp_path / "index.faiss").stat().st_size < codes + 2 * 4 * DIM + 200, "the codes, each dimension's range, a header"
