"""What each stage depends on: the one table from which the keys of the stage store are made."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from tt_hydra.artifact.keys import own_code, stage_key
from tt_hydra.component import spec_of
from tt_hydra.index.auto import Auto
from tt_hydra.pipeline.settings import RunSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stage's dependencies.

    Attributes:
        nodes: dotted names of the settings that it reads.
        inputs: stages whose output it reads.
        code: packages whose source is its code version.
        libraries: distributions whose version may change its output.
    """

    nodes: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    code: tuple[str, ...]
    libraries: tuple[str, ...]


TOWERS = (
    *("tower", "query_tower", "item_tower", "tie", "pooling", "text_pooling", "history_pooling"),
    *("embedding_dim", "metric", "item_bias", "seed"),
)
TOWER_CODE = ("tt_hydra.contracts", "tt_hydra.tower", "tt_hydra.pooling")
TOWER_LIBRARIES = ("numpy", "torch", "transformers", "tokenizers")

STAGES: Mapping[str, Stage] = {
    "prepare": Stage(
        nodes=("data", "seed"),
        code=("tt_hydra.contracts", "tt_hydra.data", "tt_hydra.pipeline.stage.prepare"),
        libraries=("numpy", "polars"),
    ),
    "train": Stage(
        nodes=(
            *TOWERS,
            *("loss", "negatives", "curriculum", "screen", "teacher", "temperature", "optimizer", "train", "evaluate.exclude_seen"),
        ),
        inputs=("prepare",),
        code=(
            *TOWER_CODE,
            *(
                "tt_hydra.loss",
                "tt_hydra.screen",
                "tt_hydra.teacher",
                "tt_hydra.negatives",
                "tt_hydra.curriculum",
                "tt_hydra.temperature",
                "tt_hydra.train",
                "tt_hydra.data",
            ),
            *("tt_hydra.metrics.exact", "tt_hydra.metrics.ranking", "tt_hydra.pipeline.stage.train", "tt_hydra.pipeline.stage.towers"),
        ),
        libraries=(*TOWER_LIBRARIES, "pytorch-lightning"),
    ),
    "embed": Stage(
        nodes=(),
        inputs=("prepare", "train"),
        code=(*TOWER_CODE, "tt_hydra.data", "tt_hydra.train.encode", "tt_hydra.train.precision", "tt_hydra.pipeline.stage.embed"),
        libraries=TOWER_LIBRARIES,
    ),
    "index": Stage(
        nodes=("index", "quantization", "prefix_dim", "metric", "seed"),
        inputs=("embed",),
        code=("tt_hydra.contracts", "tt_hydra.index", "tt_hydra.quantization", "tt_hydra.pipeline.stage.index"),
        libraries=("faiss-cpu", "numpy"),
    ),
    "evaluate": Stage(
        nodes=("evaluate", "budget", "seed"),
        inputs=("prepare", "embed", "index"),
        code=(
            *("tt_hydra.contracts", "tt_hydra.index", "tt_hydra.quantization", "tt_hydra.metrics", "tt_hydra.data"),
            *("tt_hydra.tower", "tt_hydra.pooling", "tt_hydra.train.encode", "tt_hydra.pipeline.limits"),
            *("tt_hydra.pipeline.stage.evaluate", "tt_hydra.pipeline.stage.exclude", "tt_hydra.pipeline.stage.account"),
        ),
        libraries=("faiss-cpu", "numpy", "ir-measures", "torch"),
    ),
}

MINING_CODE, MINING_LIBRARIES = ("tt_hydra.index", "tt_hydra.quantization"), ("faiss-cpu",)
"""What a training depends on besides, where its negatives are searched in an index of their own."""

TUNING_CODE = ("tt_hydra.metrics", "tt_hydra.pipeline.stage.tuning")
"""What an index depends on besides, where it is found by measuring."""


def key_of(stage: str, settings: RunSettings, inputs: Mapping[str, str], resolved: Mapping[str, Any]) -> str:
    """The key under which a stage's output is stored.

    Args:
        stage: a name in ``STAGES``.
        settings: the whole run; only the stage's own nodes are read.
        inputs: keys of the stages before it, by name.
        resolved: what was found out rather than set: the fingerprint of the data, the precision that ``auto`` came to ...
    """
    entry = STAGES[stage]
    values = {node: _plain(attrgetter(node)(settings)) for node in entry.nodes if node not in resolved}
    own = own_code(attrgetter(node)(settings) for node in entry.nodes)
    tunes = stage == "index" and isinstance(settings.index, Auto)
    mines = "negatives" in entry.nodes and hasattr(settings.negatives, "index")
    code, libraries = (
        (*entry.code, *own, *(MINING_CODE if mines else ()), *(TUNING_CODE if tunes else ())),
        (*entry.libraries, *(MINING_LIBRARIES if mines else ())),
    )
    return stage_key(stage, {**values, **resolved}, [inputs[name] for name in entry.inputs], code, libraries)


def _plain(value: Any) -> Any:
    return spec_of(value) if hasattr(value, "__dataclass_fields__") else value


def machine() -> dict[str, Any]:
    """What a measured latency depends on besides the index."""
    return {"cpu": cpu_model(), "cores": os.cpu_count()}


def cpu_model() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
