"""Fewer dimensions by a linear projection."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Pca:
    """Projection on the leading right singular vectors of the item matrix, float32: ``4 * dim`` bytes a vector.

    The matrix is not centred: its best approximation of rank ``dim`` is what keeps inner products, and subtracting a mean from
    queries and items would change the ranking (Eckart and Young, 1936).

    Attributes:
        dim: dimensions kept; None for half of them.
        refine: candidates fetched for each result wanted, rescored with the full vectors; 0 for no rescoring.
    """

    dim: int | None = None
    refine: int = 0

    def __post_init__(self) -> None:
        at_least("quantization.dim", self.dim, 1)
        at_least("quantization.refine", self.refine, 0)

    def resolve(self, dim: int) -> int:
        """Dimensions kept of ``dim``.

        Raises:
            IndexSpecError: more are asked for than there are.
        """
        if self.dim is None:
            return max(1, dim // 2)
        if self.dim > dim:
            raise IndexSpecError(
                f"quantization.dim={self.dim} is more than the {dim} dimensions of the vectors: "
                f"allowed are 1 .. {dim}; null keeps half of them"
            )
        return self.dim
