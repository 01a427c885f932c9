"""Optimized product quantization."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least
from tt_hydra.quantization.pq import SUB_DIM, check_code


@dataclass(frozen=True, kw_only=True, slots=True)
class Opq:
    """Product quantization after a rotation learnt to suit it: ``m * bits / 8`` bytes a vector.

    Better than ``pq`` at the same bytes wherever dimensions are correlated; training takes much longer.
    Ge, He, Ke and Sun, "Optimized product quantization" (2014).

    Attributes:
        m: number of pieces; where it does not divide the dimension, the rotation fills up with empty dimensions. None for pieces
            of about four dimensions.
        bits: bits of one code, 4 to 8; None for 8, fewer if the catalogue is smaller than the 256 vectors that training needs.
        iterations: rounds of learning the rotation.
        refine: candidates fetched for each result wanted, rescored with the full vectors; 0 for no rescoring.
    """

    m: int | None = None
    bits: int | None = None
    iterations: int = 10
    refine: int = 0

    def __post_init__(self) -> None:
        check_code(self.m, self.bits, self.refine)
        at_least("quantization.iterations", self.iterations, 1)

    def resolve_m(self, dim: int) -> int:
        """Number of pieces for vectors of ``dim`` dimensions.

        Raises:
            IndexSpecError: there are more pieces than dimensions.
        """
        if self.m is None:
            return max(1, round(dim / SUB_DIM))
        if self.m > dim:
            raise IndexSpecError(
                f"quantization.m={self.m} is more than the {dim} dimensions of the vectors: the nearest possible m is {dim}"
            )
        return self.m
