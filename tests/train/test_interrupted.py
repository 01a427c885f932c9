"""A training that is broken off at any place and started again gives what an undisturbed one gives, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_bert import write_tiny_bert

from tt_hydra.curriculum.target_hardness import TargetHardness
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.negatives.catalogue import Catalogue
from tt_hydra.negatives.given import Given
from tt_hydra.negatives.in_batch import InBatch
from tt_hydra.negatives.mined import Mined
from tt_hydra.negatives.popularity import Popularity
from tt_hydra.negatives.queue import Queue
from tt_hydra.negatives.uniform import Uniform
from tt_hydra.temperature.cosine import Cosine
from tt_hydra.temperature.learned import Learned
from tt_hydra.tower.bert import Bert
from tt_hydra.train import fit as fitting
from tt_hydra.train import selection
from tt_hydra.train.fit import SUMMARY, WEIGHTS, TrainingSummary
from tt_hydra.train.module import RetrievalModule
from tt_hydra.train.optimizer import SGD, AdamW

Train = Callable[..., Path]
STEPS = 3
"""Of an epoch."""


def fake_figures(patch: pytest.MonkeyPatch, values: list[float]) -> None:
    left = iter(values)
    patch.setattr(fitting, "validation_figures", lambda *_, **__: {"valid/model/recall@10": next(left)})


class Broken(Exception):
    pass


def break_off(*_: Any, **__: Any) -> None:
    raise Broken


def break_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Breaks off in the middle of an optimizer step, its gradients computed."""
    step = RetrievalModule.training_step

    def breaking(self: RetrievalModule, batch: Any, batch_idx: int) -> Any:
        loss = step(self, batch, batch_idx)
        if self.global_step == number:
            raise Broken
        return loss

    monkeypatch.setattr(RetrievalModule, "training_step", breaking)


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], int]:
    summary = TrainingSummary.load(folder)
    timed = ("seconds", "time/")
    curves = [{name: value for name, value in point.items() if not name.startswith(timed)} for point in summary.curves]
    return load_file(folder / WEIGHTS), curves, summary.best_epoch


def assert_same(folder: Path, undisturbed: Path) -> None:
    (weights, curves, best), (expected, expected_curves, expected_best) = outcome(folder), outcome(undisturbed)
    assert curves == expected_curves
    assert best == expected_best
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in undisturbed.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"negatives": InBatch(), "temperature": Learned(start=0.2), "loss": SampledSoftmax()},
        {"negatives": Uniform(num_negatives=30), "temperature": Cosine(start=0.3, end=0.1)},
        {"negatives": Popularity(num_negatives=30), "optimizer": SGD(lr=0.5)},
        {"negatives": Given(per_query=1), "decay": "cosine"},
        {"negatives": Catalogue(), "split": "no_validation", "dropout": 0.5},
        {"negatives": Mined(margin=None, refresh="asynchronous", unit="steps", every=2)},
        {"negatives": Mined(margin=0.99, every=2)},
        {"negatives": Queue(memory=150, frequency="streaming"), "loss": SampledSoftmax()},
        {"curriculum": TargetHardness(start=40, end=10, gain=0.5), "prefetch": True, "micro_batch_size": 40},
        {"optimizer": AdamW(lr=0.01, sparse=True)},
    ],
    ids=["in_batch", "uniform", "popularity", "given", "catalogue", "mined beside", "mined between", "queue", "closed loop", "by rows"],
)
def test_broken_off_in_each_epoch(train: Train, tmp_path: Path, changes: dict[str, Any]) -> None:
    undisturbed = train(**changes)
    folder = tmp_path / "broken"
    for number in (1, STEPS + 2, 2 * STEPS, 4 * STEPS - 1):
        with pytest.MonkeyPatch.context() as patch:
            break_at_step(patch, number)
            with pytest.raises(Broken):
                train(folder, **changes)
    assert_same(train(folder, **changes), undisturbed)


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_broken_off_with_texts_in_histories(train: Train, tmp_path: Path, freeze: str) -> None:
    """Histories read text vectors that are made between epochs, of a pretrained encoder that is trained, or is not."""
    folder = tmp_path / "bert"
    folder.mkdir()
    tower = Bert(model=str(write_tiny_bert(folder)), freeze=freeze, query_max_length=16, item_max_length=16, feature_dim=8, dropout=0.2)
    undisturbed, folder = train(tower=tower), tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        break_at_step(patch, 2 * STEPS + 1)
        with pytest.raises(Broken):
            train(folder, tower=tower)
    assert_same(train(folder, tower=tower), undisturbed)


PLACES: dict[str, tuple[Any, str, int]] = {
    "before the first validation": (fitting, "validation_figures", 0),
    "before a later validation": (fitting, "validation_figures", 2),
    "before the first checkpoint, the best weights written": (selection.AtomicCheckpointIO, "save_checkpoint", 0),
    "before a later checkpoint, the best weights written": (selection.AtomicCheckpointIO, "save_checkpoint", 1),
    "after a checkpoint, earlier weights still there": (selection.Selection, "_forget_worse", 1),
    "after the last checkpoint": (selection.Selection, "_forget_worse", 3),
    "before the weights are in place": (shutil, "copyfile", 0),
    "before the summary": (TrainingSummary, "save", 0),
}


@pytest.mark.parametrize("place", PLACES)
def test_broken_off_between_two_files(train: Train, tmp_path: Path, place: str) -> None:
    undisturbed, folder = train(), tmp_path / "broken"
    where, name, calls = PLACES[place]
    steps = iter([getattr(where, name)] * calls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, lambda *arguments, **more: next(steps, break_off)(*arguments, **more))  # noqa: PLW0108
        with pytest.raises(Broken):
            train(folder)
    assert not (folder / SUMMARY).exists()
    assert_same(train(folder), undisturbed)


def test_half_a_checkpoint_is_no_checkpoint(train: Train, tmp_path: Path) -> None:
    undisturbed, folder = train(), tmp_path / "broken"
    save = torch.save
    written = []

    def half(checkpoint: Any, file: Any) -> None:
        save(checkpoint, file)
        written.append(file)
        if len(written) == 2:
            file.truncate(file.tell() // 2)
            raise Broken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(Broken):
            train(folder)
    assert (folder / "last.ckpt").exists()
    assert_same(train(folder), undisturbed)


def test_broken_off_after_the_summary(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, folder = train(), tmp_path / "broken"
    save = TrainingSummary.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingSummary, "save", lambda summary, place: (save(summary, place), break_off()))
        with pytest.raises(Broken):
            train(folder)
    assert any(folder.glob("best-*.safetensors"))
    monkeypatch.setattr(fitting, "_fit", break_off)
    assert_same(train(folder), undisturbed)


def test_a_training_that_patience_stopped_does_not_train_on(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"max_epochs": 50, "patience": 1, "optimizer": SGD(lr=1e-9)}
    undisturbed, folder = train(**changes), tmp_path / "broken"
    assert TrainingSummary.load(undisturbed).epochs < 50
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "copyfile", break_off)
        with pytest.raises(Broken):
            train(folder, **changes)
    monkeypatch.setattr(RetrievalModule, "training_step", break_off)
    assert_same(train(folder, **changes), undisturbed)


def test_a_checkpoint_whose_best_weights_are_lost_starts_again(train: Train, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fake_figures(patch, [0.5, 0.4, 0.3, 0.2])
        undisturbed = train()
    folder = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        fake_figures(patch, [0.5, 0.4])
        break_at_step(patch, 2 * STEPS + 1)
        with pytest.raises(Broken):
            train(folder)
    (folder / "best-0.safetensors").unlink()
    with pytest.MonkeyPatch.context() as patch:
        fake_figures(patch, [0.5, 0.4, 0.3, 0.2])
        assert_same(train(folder), undisturbed)


@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "text"])
def test_a_damaged_checkpoint_starts_again(train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    undisturbed, folder = train(), tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        break_at_step(patch, 2 * STEPS + 1)
        with pytest.raises(Broken):
            train(folder)
    checkpoint = folder / "last.ckpt"
    content = checkpoint.read_bytes()
    damaged = {"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content)), "text": b"no checkpoint"}
    checkpoint.write_bytes(damaged[damage])
    assert_same(train(folder), undisturbed)
    assert "last.ckpt cannot be read" in caplog.text


def test_the_learned_temperature_is_part_of_the_checkpoint(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        break_at_step(patch, 2 * STEPS)
        with pytest.raises(Broken):
            train(folder, temperature=Learned(start=0.2))
    state = torch.load(folder / "last.ckpt", weights_only=True)
    learned = state["state_dict"]["temperature.log_inverse_temperature"]
    assert learned != torch.tensor(0.2).log().neg(), "it has been learning"
    assert any(name.startswith("towers.") for name in state["state_dict"])
