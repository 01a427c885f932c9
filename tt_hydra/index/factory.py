"""Any index that FAISS can spell."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.errors import IndexSpecError
from tt_hydra.quantization.limits import at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Factory:
    """An index named by a FAISS factory string, which says everything: transforms, lists, graph and codes.

    Attributes:
        spec: the string, such as ``"OPQ16_64,IVF256,PQ16"``.
        nprobe: lists visited unless a search says otherwise (strings with IVF); None for ``2 * sqrt(nlist)``, at least 8.
        efSearch: candidates kept while walking a graph, unless a search says otherwise (strings with HNSW).
        k_factor: candidates for each result that the string's own ``RFlat`` or ``Refine(...)`` rescored.
        refine: candidates fetched for each result wanted, rescored with the full vectors; 0 for no rescoring.
    """

    spec: str = "Flat"
    nprobe: int | None = None
    efSearch: int = 128
    k_factor: int = 10
    refine: int = 0

    def __post_init__(self) -> None:
        if not self.spec.strip():
            raise IndexSpecError("index.spec is empty: give a FAISS factory string, such as index.spec='IVF256,SQ8'")
        at_least("index.nprobe", self.nprobe, 1)
        at_least("index.efSearch", self.efSearch, 1)
        at_least("index.k_factor", self.k_factor, 1)
        at_least("index.refine", self.refine, 0)
