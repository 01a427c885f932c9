"""Half precision."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.quantization.limits import at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Fp16:
    """IEEE half floats: ``2 * dim`` bytes a vector.

    Attributes:
        refine: candidates fetched for each result wanted, rescored with the full vectors; 0 for no rescoring.
    """

    refine: int = 0

    def __post_init__(self) -> None:
        at_least("quantization.refine", self.refine, 0)
