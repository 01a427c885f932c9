"""The query tower in ONNX Runtime gives the vectors of the one in PyTorch, and is taken where it is faster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from services import registry_of

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.contracts import Features, FloatArray
from tt_hydra.errors import BundleError, ConfigError
from tt_hydra.serve import tower
from tt_hydra.serve.engine import Engine
from tt_hydra.serve.load import known_queries
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.settings import ServeOptions
from tt_hydra.serve.tower import QueryTower, choose_tower

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def retriever(bundle: Bundle) -> Retriever:
    return Retriever.load(bundle.folder, verify=False)


@pytest.fixture(scope="module")
def graphs(retriever: Retriever, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    choose_tower(retriever, known_queries(retriever, 8), "onnx", 1, folder)
    return folder


def test_an_engine_with_onnx_answers_as_one_with_torch(bundle: Bundle, graphs: Path, tmp_path: Path) -> None:
    registry = registry_of(tmp_path / "registry", [bundle])
    (registry.folder / "graphs").symlink_to(graphs)
    made = {path: path.stat().st_mtime_ns for path in graphs.iterdir()}
    queries = [Query(query_id="1"), Query(features={"age": 30}, history=["i1", "i2"]), Query(context={"device": "tv"})]
    answers = []
    for runtime in ("torch", "onnx"):
        engine = Engine(registry, ServeOptions(runtime=runtime))
        assert engine.served.tower.name == runtime
        answers.append(engine.search(queries, k=40))
    torch, onnx = ([{hit.id: hit.score for hit in hits} for hits in answer.results] for answer in answers)
    for first, second in zip(torch, onnx, strict=True):
        np.testing.assert_allclose([second[name] for name in first], list(first.values()), atol=1e-4)
    assert {path: path.stat().st_mtime_ns for path in graphs.iterdir()} == made, "the graph is made once for a model"


@pytest.mark.parametrize(("slow", "taken"), [("torch", "onnx"), ("onnx", "torch")])
def test_the_faster_one_is_taken(retriever: Retriever, graphs: Path, monkeypatch: pytest.MonkeyPatch, slow: str, taken: str) -> None:
    turns = iter(range(10_000))
    seconds = {"torch": 1.0, "onnx": 1.0, slow: 2.0}
    monkeypatch.setattr(tower, "_timed", lambda run, features: seconds[("torch", "onnx")[next(turns) % 2]])
    assert choose_tower(retriever, known_queries(retriever, 8), "auto", 1, graphs).name == taken


def test_one_that_gives_other_vectors_is_not_taken(retriever: Retriever, graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tower._onnx_tower

    def wrong(retriever: Retriever, threads: int, graphs: Path) -> QueryTower:
        found = made(retriever, threads, graphs)
        assert found.run is not None
        run = found.run

        def off(features: Features) -> FloatArray:
            return run(features) + np.float32(1e-3)

        return replace(found, run=off)

    monkeypatch.setattr(tower, "_onnx_tower", wrong)
    assert choose_tower(retriever, known_queries(retriever, 8), "auto", 1, graphs).name == "torch"
    with pytest.raises(BundleError, match="other vectors in ONNX Runtime"):
        choose_tower(retriever, known_queries(retriever, 8), "onnx", 1, graphs)


def test_a_missing_package_leaves_torch_unless_onnx_is_asked_for(
    retriever: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ConfigError("onnxruntime is not installed here: pip install 'tt-hydra[onnx]'")

    monkeypatch.setattr(tower, "require_packages", missing)
    assert choose_tower(retriever, known_queries(retriever, 8), "auto", 1, tmp_path).name == "torch"
    with pytest.raises(ConfigError, match=r"tt-hydra\[onnx\]"):
        choose_tower(retriever, known_queries(retriever, 8), "onnx", 1, tmp_path)
