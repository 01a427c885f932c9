"""What embeds queries: the tower in PyTorch, or the same in ONNX Runtime where that is faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tt_hydra.contracts import Features, FloatArray
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever


@dataclass(frozen=True, slots=True)
class QueryTower:
    """Embeds queries of one version.

    Attributes:
        retriever: of the version.
        run: from encoded features to vectors; None where the vectors of known queries came ready-made.
        name: of what runs it.
    """

    retriever: Retriever
    run: Callable[[Features], FloatArray] | None
    name: str

    def embed(self, queries: Sequence[Query], rows: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Vectors ``(n, dim)`` of queries, of which none is a ready-made vector.

        Args:
            queries: the questions.
            rows: their raw rows.
        """
        if self.run is None:
            return self.retriever.embed_queries(queries)
        return self.run(self.retriever.row_features(rows))


def torch_tower(retriever: Retriever) -> QueryTower:
    """The tower as it was trained."""
    if retriever.bundle.manifest.model is None:
        return QueryTower(retriever, None, "given")
    return QueryTower(retriever, retriever.run_queries, "torch")
