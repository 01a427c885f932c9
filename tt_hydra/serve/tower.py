"""What embeds queries: the tower in PyTorch, or the same in ONNX Runtime where that is faster."""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tt_hydra.artifact.keys import fingerprint
from tt_hydra.contracts import Features, FloatArray
from tt_hydra.errors import BundleError, ConfigError, TTHydraError
from tt_hydra.export.flat import FlatTower
from tt_hydra.export.folder import origin
from tt_hydra.export.onnx import PACKAGES, OnnxTower, require_packages, write_graph
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.settings import Runtime

GRAPHS = "graphs"
"""Folder of a registry with query towers as ONNX graphs, by model."""
TOLERANCE = 1e-4
"""Largest difference between two numbers of a vector, in units of 1 or of the largest number of all."""
COMPARED, ROUNDS = 32, 3
GAIN = 0.9
"""ONNX Runtime is taken where a query takes at most this share of PyTorch's time."""

logger = logging.getLogger(__name__)
Run = Callable[[Features], FloatArray]


@dataclass(frozen=True, slots=True)
class QueryTower:
    """Embeds queries of one version.

    Attributes:
        retriever: of the version.
        run: from encoded features to vectors; None where the vectors of known queries came ready-made.
        name: of what runs it.
    """

    retriever: Retriever
    run: Run | None
    name: str

    def embed(self, queries: Sequence[Query], rows: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Vectors ``(n, dim)`` of queries, of which none is a ready-made vector.

        Args:
            queries: the questions.
            rows: their raw rows.
        """
        if self.run is None:
            return self.retriever.known_vectors(queries)
        return self.run(self.retriever.row_features(rows))


def torch_tower(retriever: Retriever) -> QueryTower:
    """The tower as it was trained."""
    if retriever.bundle.manifest.model is None:
        return QueryTower(retriever, None, "given")
    return QueryTower(retriever, retriever.run_queries, "torch")


def choose_tower(retriever: Retriever, queries: Sequence[Query], runtime: Runtime, threads: int, graphs: Path) -> QueryTower:
    """The query tower in the runtime that is asked for, or in the faster one.

    Args:
        retriever: of the version.
        queries: real ones, to compare vectors and times on.
        runtime: what is asked for.
        threads: that one run may use.
        graphs: folder where graphs are kept.

    Raises:
        ConfigError: ``runtime`` is ``onnx``, and a package is missing or the tower cannot be traced.
        BundleError: ``runtime`` is ``onnx``, and it gives other vectors.
    """
    plain = torch_tower(retriever)
    if plain.run is None or runtime == "torch":
        return plain
    try:
        return _faster(plain, _onnx_tower(retriever, threads, graphs), queries, always=runtime == "onnx")
    except (TTHydraError, OSError) as error:
        if runtime == "onnx":
            raise
        logger.info("the query tower runs in PyTorch: %s", error)
        return plain


def _onnx_tower(retriever: Retriever, threads: int, graphs: Path) -> QueryTower:
    manifest = retriever.bundle.manifest
    if manifest.precision != "32":
        raise ConfigError(
            f"serve.runtime=onnx: the vectors of this bundle were computed in {manifest.precision}, a graph computes in 32 bits"
        )
    if retriever.bundle.bridge is not None:
        raise ConfigError("serve.runtime=onnx: the query tower behind a bridge runs in torch until its own index is built")
    require_packages()
    path = graphs / f"{manifest.model_fingerprint}-{fingerprint({name: version(name) for name in (*PACKAGES, 'torch')})[:8]}.onnx"
    if not path.is_file():
        _write(retriever, path)
    graph, text = OnnxTower.load(path, threads), retriever.item_text
    graph.require_model(manifest.model_fingerprint)
    return QueryTower(retriever, lambda features: graph.embed(features, text), "onnx")


def _write(retriever: Retriever, path: Path) -> None:
    """Traces the tower; the graph appears when it is complete. Beyond 2 GB its weights would lie in a second file: then there is none."""
    tower = FlatTower(retriever.towers, retriever.bundle.featurizer.schema, "query").eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.onnx")
    beside = unfinished.with_name(f"{unfinished.name}.data")
    try:
        write_graph(tower, unfinished, {**origin(retriever.bundle), "side": "query"})
        if beside.exists():
            raise ConfigError("serve.runtime=onnx: the query tower is larger than one ONNX file can be")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)


def _faster(plain: QueryTower, other: QueryTower, queries: Sequence[Query], always: bool) -> QueryTower:
    """The faster tower, from single queries in turns."""
    assert plain.run is not None
    assert other.run is not None
    rows = [plain.retriever.records.row(query) for query in queries[:COMPARED]]
    if not rows:
        return plain
    features = [plain.retriever.row_features([row]) for row in rows]
    expected = np.concatenate([plain.run(each) for each in features])
    together = plain.retriever.row_features(rows)
    for found in (np.concatenate([other.run(each) for each in features]), other.run(together)):
        _compare(found, expected)
    if always:
        return other
    seconds: dict[str, list[float]] = {plain.name: [], other.name: []}
    for _ in range(ROUNDS):
        for each in features:
            for tower in (plain, other):
                seconds[tower.name].append(_timed(tower.run, each))
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    chosen = other if middle[other.name] <= GAIN * middle[plain.name] else plain
    told = ", ".join(f"{1e3 * value:.2f} ms in {name}" for name, value in middle.items())
    logger.info("the query tower runs in %s: a query takes %s", chosen.name, told)
    return chosen


def _timed(run: Run | None, features: Features) -> float:
    assert run is not None
    start = time.perf_counter()
    run(features)
    return time.perf_counter() - start


def _compare(found: FloatArray, expected: FloatArray) -> None:
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0))):
        raise BundleError(f"the query tower gives other vectors in ONNX Runtime: they differ by {difference:.2g}")
