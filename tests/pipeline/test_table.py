"""Every key of the config belongs to the stages that read it, or to none: changed one at a time, it changes exactly their keys."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tt_hydra.component import spec_of
from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.index.auto import Auto
from tt_hydra.index.budget import Budget
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mined import Mined
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage import index as indexing
from tt_hydra.pipeline.stage import table
from tt_hydra.pipeline.stage.resolved import Compute, resolved_nodes
from tt_hydra.pipeline.stage.table import STAGES, key_of
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.screen.guide import Guide
from tt_hydra.teacher.cross_encoder import CrossEncoder

CHAIN = ("prepare", "train", "embed", "index", "evaluate")
TOWERS = [
    "tower",
    "query_tower",
    "item_tower",
    "tie",
    "pooling",
    "text_pooling",
    "history_pooling",
    "embedding_dim",
    "item_bias",
    "loss",
    "negatives",
    "curriculum",
    "screen",
    "teacher",
    "temperature",
    "optimizer",
    "train",
]
READERS = {
    "data": {"prepare"},
    "seed": set(CHAIN) - {"embed"},
    **{node: {"train"} for node in TOWERS},
    "metric": {"train", "index"},
    "evaluate.exclude_seen": {"train", "evaluate"},
    "index": {"index"},
    "quantization": {"index"},
    "prefix_dim": {"index"},
    "evaluate": {"evaluate"},
    "budget": {"evaluate"},
    "runtime": set(),
    "logger": set(),
    "sweep": set(),
}
"""Which stages read a node, written down from the design, not from the table under test."""


@pytest.fixture(scope="module")
def settings() -> RunSettings:
    config, problems = compose(
        make_loader([]), "run", ["tower=bert", "temperature=cosine", "curriculum=easy_to_hard", "index=ivf", "quantization=pq"]
    )
    assert not problems
    return build(check(config, COMMANDS["run"], (), {"runtime.run_dir": "."}), RunSettings)


def keys(settings: RunSettings) -> dict[str, str]:
    found: dict[str, str] = {}
    for stage in CHAIN:
        resolved = {"data": spec_of(settings.data)} if stage == "prepare" else {}
        found[stage] = key_of(stage, settings, found, resolved)
    return found


def leaves(value: Any, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        name = f"{prefix}{field.name}"
        yield from leaves(inner, f"{name}.") if dataclasses.is_dataclass(inner) else [name]


def altered(value: Any, path: str) -> Any:
    """A copy in which one leaf is another value; whether that value makes sense plays no part in a key."""
    name, _, rest = path.partition(".")
    twin = copy.copy(value)
    inner = getattr(value, name)
    object.__setattr__(twin, name, altered(inner, rest) if rest else f"not {inner}")
    return twin


def expected(path: str) -> set[str]:
    readers = READERS.get(path, READERS[path.split(".", maxsplit=1)[0]])
    return {stage for stage in CHAIN if any(CHAIN.index(reader) <= CHAIN.index(stage) for reader in readers)}


def test_every_leaf_changes_the_keys_of_its_stages_and_of_those_after_them(settings: RunSettings) -> None:
    before = keys(settings)
    found = {path: {stage for stage, key in keys(altered(settings, path)).items() if key != before[stage]} for path in leaves(settings)}
    assert len(found) > 60, "the premise is that all leaves are visited"
    assert found == {path: expected(path) for path in found}


def test_an_index_that_is_found_by_measuring_depends_on_the_budget_and_the_machine(settings: RunSettings) -> None:
    found = dataclasses.replace(settings, index=Auto(), quantization=NoQuantization())

    def key(of: RunSettings, **machine: Any) -> str:
        return key_of("index", of, {"embed": "e"}, {**indexing.resolved(of), **machine})

    tight = dataclasses.replace(found, budget=Budget(bytes_per_item=64))
    assert len({key(found), key(tight), key(found, cpu="another"), key(dataclasses.replace(found, index=Auto(queries=50)))}) == 4
    assert key(settings) == key(dataclasses.replace(settings, budget=tight.budget)), "a fixed index depends on neither"


def test_every_root_node_belongs_to_a_stage_or_to_runtime() -> None:
    """What enters no key says where output goes and how loudly, never what it is."""
    keyed = {node.split(".")[0] for stage in STAGES.values() for node in stage.nodes}
    assert {field.name for field in dataclasses.fields(RunSettings)} - keyed == {"logger", "runtime", "sweep"}


@pytest.mark.parametrize(("negatives", "searches"), [(InBatch(), False), (Mined(), True)])
def test_a_training_that_mines_depends_on_the_index(settings: RunSettings, monkeypatch: pytest.MonkeyPatch, negatives, searches) -> None:
    told: dict[str, tuple[str, ...]] = {}

    def noted(stage: str, values: Any, inputs: Any, code: Any, libraries: Any) -> str:
        told[stage] = (*code, *libraries)
        return stage

    monkeypatch.setattr(table, "stage_key", noted)
    keys(dataclasses.replace(settings, negatives=negatives))
    assert ("tt_hydra.index" in told["train"]) == ("faiss-cpu" in told["train"]) == searches
    assert "faiss-cpu" not in told["prepare"]


def test_inputs_come_from_earlier_stages() -> None:
    for stage, entry in STAGES.items():
        assert all(CHAIN.index(name) < CHAIN.index(stage) for name in entry.inputs)


def test_what_auto_came_to_stands_for_the_setting(settings: RunSettings) -> None:
    other = altered(settings, "train.precision")
    resolved = {"train": {"precision": "32"}}
    inputs = {"prepare": "p"}
    assert key_of("train", settings, inputs, resolved) == key_of("train", other, inputs, resolved)


@pytest.mark.parametrize(("name", "component"), [("screen", Guide), ("teacher", CrossEncoder)])
def test_a_model_in_a_folder_is_known_by_its_content(settings: RunSettings, tmp_path: Path, name: str, component: type) -> None:
    (tmp_path / "1_Pooling").mkdir()
    keys = []
    for content in ("a", "b", "a"):
        (tmp_path / "1_Pooling" / "config.json").write_text(content)
        chosen = dataclasses.replace(settings, **{name: component(model=str(tmp_path))})
        keys.append(key_of("train", chosen, {"prepare": "p"}, resolved_nodes(chosen, Compute("cpu", "32"))))
    assert keys[0] == keys[2] != keys[1]
