"""Opens a version for serving, and warms it with real queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tt_hydra.artifact.registry import Version
from tt_hydra.index.threads import threads
from tt_hydra.serve.answering import Answerer
from tt_hydra.serve.asking import Ask
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.served import Served
from tt_hydra.serve.settings import ServeOptions
from tt_hydra.serve.tower import choose_tower

WARM_QUERIES = 64


def load(version: Version, options: ServeOptions, graphs: Path, allow: Sequence[str] = ()) -> Served:
    """Opens a version, each of its files compared with its checksum.

    Args:
        version: of a registry.
        options: how it is served.
        graphs: folder where query towers are kept as ONNX graphs.
        allow: module prefixes of components of one's own that it may use.

    Raises:
        BundleError: it is incomplete, damaged or put together from several.
        ConfigError: its query tower cannot run in the runtime that is asked for.
    """
    retriever = Retriever.load(version.folder, allow=allow)
    with threads(options.threads):
        tower = choose_tower(retriever, known_queries(retriever, WARM_QUERIES), options.runtime, options.threads, graphs)
    return Served(version, retriever, tower)


def known_queries(retriever: Retriever, count: int) -> list[Query]:
    """Queries that the bundle knows, evenly spread; item vectors where it knows none."""
    identifiers = retriever.bundle.queries["id"]
    if len(identifiers):
        rows = np.unique(np.linspace(0, len(identifiers) - 1, min(count, len(identifiers))).astype(np.int64))
        return [Query(query_id=str(identifiers[int(row)])) for row in rows]
    vectors = retriever.bundle.item_vectors
    return [Query(vector=np.array(vectors[row])) for row in range(min(count, len(vectors)))]


def warm(served: Served, options: ServeOptions) -> None:
    """Answers known queries, one by one and together: pages are read, kernels chosen, caches filled."""
    queries = known_queries(served.retriever, WARM_QUERIES)
    answerer = Answerer(0, options.batch_size)
    with threads(options.threads):
        answerer.answer(served, [Ask(queries=queries)])
        for query in queries:
            answerer.answer(served, [Ask(queries=[query])])
