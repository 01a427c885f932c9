"""report: what ran and what came out, on one page."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tt_hydra
from tt_hydra.component import option_of
from tt_hydra.contracts import History, IntArray, Split
from tt_hydra.data.dataset import Dataset
from tt_hydra.index.tune.frontier import read_frontier
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.embed import PARTS
from tt_hydra.pipeline.stage.folders import Folders
from tt_hydra.pipeline.stage.table import machine
from tt_hydra.report.data import Example, ReportData, Result, Setting
from tt_hydra.report.html import write_report
from tt_hydra.train.selection import CurvePoint
from tt_hydra.train.summary import TrainingSummary

LIBRARIES = ("torch", "pytorch-lightning", "faiss-cpu", "hydra-core", "transformers", "polars")


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What the report tells besides the figures.

    Attributes:
        command: the command line.
        changed: settings that differ from the defaults: default and value by key.
        warnings: what a reader must know.
    """

    command: str = ""
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def report(settings: RunSettings, folders: Folders, dataset: Dataset, metrics: Mapping[str, float], story: Story) -> Path:
    """Writes ``report.html`` into the run's folder."""
    training = None if folders.train is None else TrainingSummary.load(folders.train)
    data = ReportData(
        title=_headline(settings),
        command=story.command,
        when=datetime.now().astimezone(),
        metrics=metrics,
        description=f"{option_of(settings.data)}, split {dataset.split}",
        sizes=_sizes(dataset),
        counts=dataset.log_counts(),
        curves=[] if training is None else [_curve(point) for point in training.curves],
        settings=[Setting(key=key, default=default, value=value) for key, (default, value) in story.changed.items()],
        examples=examples(dataset, folders.evaluate),
        points=read_frontier(folders.index),
        budget={name: float(limit) for name, limit in asdict(settings.budget).items() if limit is not None},
        warnings=story.warnings,
        versions={"tt_hydra": tt_hydra.__version__, **{name: importlib.metadata.version(name) for name in LIBRARIES}},
        machine=_machine(training),
    )
    path = settings.runtime.run_dir / "report.html"
    write_report(data, path)
    return path


def examples(dataset: Dataset, evaluated: Path) -> list[Example]:
    """The example queries of the evaluate stage with what the index found for them."""
    for part in reversed(PARTS):
        path = evaluated / f"results_{part}.npy"
        if path.exists():
            titles = _titles(dataset)
            return [_example(dataset, part, number, found, titles) for number, found in enumerate(np.load(path))]
    return []


def _example(dataset: Dataset, part: Split, number: int, found: np.ndarray[Any, Any], titles: Sequence[str]) -> Example:
    block = dataset.eval_part(part)
    relevant = set(block.relevant.row(number).tolist())
    results = [
        Result(rank=rank, id=str(dataset.item_ids[int(row)]), title=titles[int(row)], score=float(score), relevant=int(row) in relevant)
        for rank, (row, score) in enumerate(zip(*found, strict=True), start=1)
        if row >= 0
    ]
    row = int(block.query_rows[number])
    return Example(
        query=str(dataset.query_ids[row]),
        text=_text(dataset, int(block.positions[number]), row),
        history=[titles[item] or str(dataset.item_ids[int(item)]) for item in _history(dataset, part, number)],
        expected=[titles[item] or str(dataset.item_ids[item]) for item in sorted(relevant)],
        results=results,
    )


def _text(dataset: Dataset, position: int, row: int) -> str:
    """The text that the example asks with: its event's own, or else its query's."""
    if dataset.event_texts is not None:
        return str(dataset.event_texts[position])
    return str(dataset.query_records(np.array([row])).row(0, named=True).get("text") or "")


def _history(dataset: Dataset, part: Split, number: int) -> IntArray:
    value = dataset.queries(part, np.array([number])).values.get("history")
    if not isinstance(value, History) or value.items.rows is None:
        return np.empty(0, dtype=np.int64)
    positions = value.positions.ids[0][value.positions.mask[0]]
    rows: IntArray = value.items.rows[positions].numpy()
    return rows


def _titles(dataset: Dataset) -> list[str]:
    column = dataset.display_column
    if column is None:
        return [""] * dataset.num_items
    return [str(title or "") for title in dataset.display[column].to_list()]


def _curve(point: CurvePoint) -> dict[str, float | None]:
    return {name.replace("valid/model/", "valid_"): value for name, value in point.items()}


def _headline(settings: RunSettings) -> str:
    towers = dict.fromkeys(option_of(own or settings.tower) for own in (settings.query_tower, settings.item_tower))
    data, index, quantization = map(option_of, (settings.data, settings.index, settings.quantization))
    return f"{data}: {' and '.join(towers)} towers, {index} index" + ("" if quantization == "none" else f", {quantization}")


def _sizes(dataset: Dataset) -> dict[str, int]:
    parts = {f"{part} queries": len(dataset.eval_part(part)) for part in PARTS}
    return {"queries": dataset.num_queries, "items": dataset.num_items, "training pairs": len(dataset.train), **parts}


def _machine(training: TrainingSummary | None) -> dict[str, str]:
    conditions = {name: str(value) for name, value in machine().items()}
    conditions["threads"] = f"{torch.get_num_threads()}, 1 for latency"
    if training is not None:
        conditions["precision"] = training.precision
    return conditions
