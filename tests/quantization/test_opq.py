from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.opq import Opq


def test_takes_any_number_of_pieces_up_to_the_dimension() -> None:
    assert [Opq(m=m).resolve_m(10) for m in (1, 3, 7, 10)] == [1, 3, 7, 10]
    with pytest.raises(IndexSpecError, match="nearest possible m is 10"):
        Opq(m=11).resolve_m(10)


@pytest.mark.parametrize(("dim", "m"), [(64, 16), (7, 2), (1, 1)])
def test_pieces_are_of_about_four_dimensions(dim: int, m: int) -> None:
    assert Opq().resolve_m(dim) == m


@pytest.mark.parametrize("fields", [{"iterations": 0}, {"m": 0}, {"refine": -1}])
def test_values_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(IndexSpecError, match=f"quantization.{next(iter(fields))}="):
        Opq(**fields)
