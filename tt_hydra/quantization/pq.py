"""Product quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least, within

MIN_BITS, MAX_BITS = 4, 8
"""Bits of one sub-vector's code."""
SUB_DIM = 4
"""Dimensions of a sub-vector that ``m: null`` aims at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pq:
    """The vector cut into ``m`` pieces, each replaced by the nearest of ``2 ** bits`` centroids: ``m * bits / 8`` bytes a vector.

    Jegou, Douze and Schmid, "Product quantization for nearest neighbor search" (2011).

    Attributes:
        m: number of pieces, a divisor of the dimension; None for pieces of about four dimensions.
        bits: bits of one code, 4 to 8; None for 8, fewer if the catalogue is smaller than the 256 vectors that training needs.
        refine: candidates fetched for each result wanted, rescored with the full vectors; 0 for no rescoring.
    """

    m: int | None = None
    bits: int | None = None
    refine: int = 0

    def __post_init__(self) -> None:
        check_code(self.m, self.bits, self.refine)

    def resolve_m(self, dim: int) -> int:
        """Number of pieces for vectors of ``dim`` dimensions.

        Raises:
            IndexSpecError: ``m`` does not divide ``dim``.
        """
        if self.m is None:
            return nearest_divisor(dim, dim / SUB_DIM)
        if dim % self.m:
            nearest = nearest_divisor(dim, self.m)
            raise IndexSpecError(
                f"quantization.m={self.m} does not divide the {dim} dimensions of the vectors: "
                f"the nearest possible m is {nearest}; quantization=opq takes any m up to {dim}"
            )
        return self.m


def check_code(m: int | None, bits: int | None, refine: int) -> None:
    """Checks the fields that all product quantizations share.

    Raises:
        IndexSpecError: one is out of range.
    """
    at_least("quantization.m", m, 1)
    within("quantization.bits", bits, MIN_BITS, MAX_BITS)
    at_least("quantization.refine", refine, 0)


def resolve_bits(bits: int | None, size: int) -> int:
    """Bits of one code for a catalogue of ``size`` vectors: training needs at least one vector for each of ``2 ** bits`` centroids.

    Raises:
        IndexSpecError: the catalogue is too small for them.
    """
    most = min(MAX_BITS, int(math.log2(max(size, 1))))
    if most < MIN_BITS:
        raise IndexSpecError(
            f"product quantization cannot be trained on {size} vectors: it needs at least {2**MIN_BITS}; use quantization=int8"
        )
    if bits is not None and bits > most:
        raise IndexSpecError(
            f"quantization.bits={bits} needs at least {2**bits} vectors to train, got {size}: the nearest possible value is {most}"
        )
    return most if bits is None else bits


def nearest_divisor(number: int, target: float) -> int:
    """The divisor of ``number`` whose ratio to ``target`` is closest to one, the larger one on a tie."""
    divisors = [value for value in range(1, number + 1) if number % value == 0]
    return min(divisors, key=lambda value: (abs(math.log(value / target)), -value))
