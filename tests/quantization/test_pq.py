from __future__ import annotations

import pytest

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.pq import Pq, nearest_divisor, resolve_bits


@pytest.mark.parametrize(("dim", "m"), [(64, 16), (384, 96), (7, 1), (6, 2), (1, 1)])
def test_pieces_are_of_about_four_dimensions(dim: int, m: int) -> None:
    assert Pq().resolve_m(dim) == m


@pytest.mark.parametrize(("number", "target", "expected"), [(64, 7, 8), (64, 10, 8), (64, 12, 16), (64, 100, 64), (30, 4, 5)])
def test_nearest_divisor_is_by_ratio(number: int, target: int, expected: int) -> None:
    assert nearest_divisor(number, target) == expected


def test_pieces_that_do_not_divide_are_refused_with_the_nearest_that_do() -> None:
    with pytest.raises(IndexSpecError, match=r"m=7 does not divide the 64 dimensions.*nearest possible m is 8"):
        Pq(m=7).resolve_m(64)


@pytest.mark.parametrize(("size", "bits"), [(100_000, 8), (256, 8), (255, 7), (16, 4)])
def test_bits_shrink_with_the_catalogue(size: int, bits: int) -> None:
    assert resolve_bits(None, size) == bits


def test_bits_that_the_catalogue_cannot_train_are_refused() -> None:
    with pytest.raises(IndexSpecError, match=r"bits=8 needs at least 256 vectors to train, got 200.*value is 7"):
        resolve_bits(8, 200)
    with pytest.raises(IndexSpecError, match="quantization=int8"):
        resolve_bits(None, 15)


@pytest.mark.parametrize("fields", [{"m": 0}, {"bits": 3}, {"bits": 9}, {"refine": -1}])
def test_values_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(IndexSpecError, match=f"quantization.{next(iter(fields))}="):
        Pq(**fields)
