"""Whole trainings of text towers with adapters and with an alignment: what is kept, what is resumed, what the bundle needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_bert import write_tiny_bert

from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.problems import refuse
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.run import RunResult, run
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.serve.retriever import Retriever
from tt_hydra.train.module import RetrievalModule

pytest.importorskip("peft")

TOPICS = ("abab", "cdcd", "efef", "ghgh")
SMALL = [
    *("train.batch_size=32", "train.max_epochs=3", "train.precision=32", "logger=none", "metric=cosine", "embedding_dim=null"),
    *("evaluate.resamples=20", "evaluate.latency_queries=5", "runtime.progress_bar=false", "evaluate.exclude_seen=false"),
]
SHORT = ["tower=bert", "tower.query_max_length=16", "tower.item_max_length=16"]
LORA = [*SHORT, "tower.lora_rank=2", "tower.lora_lr_scale=1"]


class Broken(Exception):
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Questions and answers that share the letters of a topic."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(128):
        topic = TOPICS[number % len(TOPICS)]
        query, positive = ("".join(random.choice(list(topic + "xyz"), 6)) for _ in range(2))
        part = "test" if number >= 112 else "valid" if number >= 96 else "train"
        rows.append({"query": " ".join(query), "positive": " ".join(positive), "part": part})
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


@pytest.fixture
def go(model: str, pairs: str) -> Callable[..., RunResult]:
    def go(root: Path, *overrides: str) -> RunResult:
        data = ["data=pairs", f"data.path={pairs}", "data.part=part", f"runtime.outputs={root}/outputs"]
        config, problems = compose(make_loader([]), "run", [*data, *SMALL, *overrides])
        assert not problems
        checked = check(config, COMMANDS["run"], RUN_RULES, {"runtime.run_dir": str(root / "run")})
        refuse([problem for problem in checked.problems if not problem.warning])
        settings = build(checked, RunSettings)
        settings.runtime.run_dir.mkdir(parents=True, exist_ok=True)
        return run(settings)

    return go


def break_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    step = RetrievalModule.training_step

    def breaking(self: RetrievalModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == number:
            raise Broken
        return step(self, batch, batch_idx)

    monkeypatch.setattr(RetrievalModule, "training_step", breaking)


def weights(root: Path) -> dict[str, Any]:
    return {name: weight for path in sorted((root / "run" / "bundle").glob("*.safetensors")) for name, weight in load_file(path).items()}


def assert_resumed_is_undisturbed(
    go: Callable[..., RunResult], monkeypatch: pytest.MonkeyPatch, roots: tuple[Path, Path], *overrides: str
) -> None:
    undisturbed = go(roots[0], *overrides)
    with monkeypatch.context() as patch:
        break_at_step(patch, 7)  # in the third epoch
        with pytest.raises(Broken):
            go(roots[1], *overrides)
    resumed = go(roots[1], *overrides)
    figures = [{name: value for name, value in each.metrics.items() if "/model/" in name} for each in (undisturbed, resumed)]
    assert figures[0] == figures[1]
    first, second = weights(roots[0]), weights(roots[1])
    assert first.keys() == second.keys()
    assert all((first[name] == second[name]).all() for name in first)


def test_adapters_are_merged_resumed_and_not_needed_to_serve(
    go: Callable[..., RunResult], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = tmp_path / "one", tmp_path / "two"
    assert_resumed_is_undisturbed(go, monkeypatch, roots, *LORA, f"tower.model={model}")
    trained, start = weights(roots[0]), load_file(Path(model) / "model.safetensors")
    assert not [name for name in trained if "lora" in name or "base_layer" in name]
    prefix = "towers.item.features.text.encoder."
    moved = {name.removeprefix(prefix) for name, weight in trained.items() if not weight.equal(start[name.removeprefix(prefix)])}
    assert moved
    assert all(".layer." in name and name.endswith(".weight") and "LayerNorm" not in name for name in moved)
    monkeypatch.setitem(sys.modules, "peft", None)
    retriever = Retriever.load(roots[0] / "run" / "bundle")
    assert len(retriever.search("a b a b", k=3)) == 3


def test_an_asymmetric_pair_is_aligned_trained_and_resumed(
    go: Callable[..., RunResult], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = ["tower@query_tower=static", f"query_tower.model={model}", "tower@item_tower=bert", f"item_tower.model={model}"]
    towers += ["item_tower.query_max_length=16", "item_tower.item_max_length=16"]
    roots = tmp_path / "one", tmp_path / "two"
    assert_resumed_is_undisturbed(go, monkeypatch, roots, *towers, "train.align_epochs=2")
    assert len(Retriever.load(roots[0] / "run" / "bundle").search("a b a b", k=3)) == 3


def test_towers_without_a_weight_to_train_are_refused_or_measured(go: Callable[..., RunResult], model: str, tmp_path: Path) -> None:
    frozen = [*SHORT, f"tower.model={model}", "tower.freeze=all"]
    with pytest.raises(ConfigError, match=r"neither tower has a weight to train.*tower\.freeze=none.*train\.max_epochs=0"):
        go(tmp_path, *frozen)
    assert go(tmp_path, *frozen, "train.max_epochs=0").metrics["test/model/recall@10"] >= 0


def test_a_query_tower_without_a_weight_to_train_cannot_be_aligned(go: Callable[..., RunResult], model: str, tmp_path: Path) -> None:
    own = [f"query_tower.{key}" for key in (f"model={model}", "freeze=all", "query_max_length=16", "item_max_length=16")]
    with pytest.raises(ConfigError, match=r"the query tower has no weight to train.*query_tower\.freeze=none"):
        go(tmp_path, "tower=static", f"tower.model={model}", "tower@query_tower=bert", *own, "train.align_epochs=1")
