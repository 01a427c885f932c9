"""Where training curves go besides the report."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_hydra.errors import ConfigError
from tt_hydra.train.fit import TrainingSummary
from tt_hydra.train.loggers import Csv, LoggerSpec, MLflow, TensorBoard, WandB
from tt_hydra.train.module import RetrievalModule

Train = Callable[..., Path]
RECALL = "valid/model/recall@10"
STEP_FIGURES = {"train/loss", "train/temperature", "train/positive_similarity", "train/hardest_negative_similarity"}


def test_csv_has_each_step_and_each_epoch(train: Train) -> None:
    folder = train(max_epochs=2, logger=Csv())
    rows = list(csv.DictReader((folder / "csv" / "metrics.csv").open(encoding="utf-8")))
    assert rows[0].keys() > STEP_FIGURES
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [0, 1, 2, 3, 4, 5]
    recalls = [float(row[RECALL]) for row in rows if row[RECALL]]
    assert recalls == pytest.approx([point[RECALL] for point in TrainingSummary.load(folder).curves])


def test_tensorboard_has_each_step_and_each_epoch(train: Train) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(max_epochs=2, logger=TensorBoard())
    events = accumulator.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert STEP_FIGURES | {RECALL} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3, 4, 5]
    recalls = [event.value for event in events.Scalars(RECALL)]
    assert recalls == pytest.approx([point[RECALL] for point in TrainingSummary.load(folder).curves])


@pytest.mark.parametrize(("spec", "package"), [(MLflow(), "mlflow"), (WandB(), "wandb"), (TensorBoard(), "tensorboard")])
def test_a_package_that_is_missing_is_named(spec: LoggerSpec, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name, *more))
    with pytest.raises(ConfigError, match=rf"logger={package} needs the package '{package}'.*pip install 'tt-hydra\[{package}\]'"):
        spec.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_training_tells_of_the_epochs_before(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, folder = RetrievalModule.training_step, tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(RetrievalModule, "training_step", lambda self, *batch: step(self, *batch) if self.global_step < 7 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(folder, logger=Csv())
    train(folder, logger=Csv())
    rows = list(csv.DictReader((folder / "csv" / "metrics.csv").open(encoding="utf-8")))
    assert [(int(float(row["epoch"])), int(row["step"])) for row in rows if row[RECALL]] == [(0, 2), (1, 5), (2, 8), (3, 11)]
    curves = TrainingSummary.load(folder).curves
    assert [float(row["train/loss"]) for row in rows[:2]] == pytest.approx([point["loss"] for point in curves[:2]])
    assert [int(row["step"]) for row in rows[2:] if row["train/loss"]] == [6, 7, 8, 9, 10, 11]


def test_no_logger_leaves_no_file(train: Train) -> None:
    folder = train(max_epochs=1)
    assert sorted(path.name for path in folder.iterdir()) == ["model.safetensors", "training.json"]
