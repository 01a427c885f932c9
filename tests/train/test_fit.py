"""Training from start to end: it learns, it repeats itself, it keeps the right epoch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tt_hydra.contracts import Ragged
from tt_hydra.data.parts import EvalPart
from tt_hydra.errors import ConfigError, Pruned
from tt_hydra.negatives.uniform import Uniform
from tt_hydra.temperature.linear import Linear
from tt_hydra.train import fit as fitting
from tt_hydra.train.fit import SUMMARY, WEIGHTS, Reporting, TrainingJob, TrainingSummary, fit, load_weights
from tt_hydra.train.optimizer import SGD, AdamW
from tt_hydra.train.validate import tell_hidden, validation_figures

RECALL = "valid/model/recall@10"
MakeJob = Callable[..., TrainingJob]
Train = Callable[..., Path]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / WEIGHTS)


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def recall_of(job: TrainingJob, folder: Path | None = None) -> float:
    if folder is not None:
        load_weights(job.towers, folder / WEIGHTS)
    return validation_figures(job.towers, job.dataset, exclude_seen=True, batch_size=64, precision="32")[RECALL]


def fake_figures(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Validation figures from a list, one each epoch; what they fall to is not what the weights deserve."""
    left = iter(values)
    monkeypatch.setattr(fitting, "validation_figures", lambda *_, **__: {RECALL: next(left), "valid/model/ndcg@10": 0.5})


def test_training_learns_what_can_be_learnt(train: Train, make_job: MakeJob) -> None:
    job = make_job()
    untrained = recall_of(job)
    folder = train(max_epochs=8)
    assert untrained < 0.35
    assert recall_of(job, folder) > 0.6


def test_a_seed_decides_every_bit(train: Train) -> None:
    first, again, other = train(seed=3), train(seed=3), train(seed=4)
    assert same(first, again)
    assert not same(first, other)


def test_the_epoch_with_the_best_figure_is_kept_whatever_its_loss(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = train(max_epochs=2, warmup=0.0, decay="none")
    fake_figures(monkeypatch, [0.1, 0.4, 0.3, 0.4])
    folder = train(max_epochs=4, warmup=0.0, decay="none")
    summary = TrainingSummary.load(folder)
    assert summary.best_epoch == 1  # the earlier of two equals
    assert summary.curves[3]["loss"] < summary.curves[1]["loss"], "the premise: the loss would have chosen another epoch"
    assert same(folder, shorter)


def test_the_kept_weights_give_the_figure_of_the_curve(train: Train, make_job: MakeJob) -> None:
    folder = train(max_epochs=3)
    summary = TrainingSummary.load(folder)
    assert recall_of(make_job(), folder) == summary.curves[summary.best_epoch][RECALL]


def test_the_monitor_chooses_the_figure(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([{RECALL: 0.1, "valid/model/ndcg@10": 0.9}, {RECALL: 0.9, "valid/model/ndcg@10": 0.1}])
    monkeypatch.setattr(fitting, "validation_figures", lambda *_, **__: next(figures))
    assert TrainingSummary.load(train(max_epochs=2, monitor="ndcg@10")).best_epoch == 0


def test_what_cannot_be_found_because_it_was_had_before_is_told(
    train: Train, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of three items that two queries are to find, the first query had one and the second had what the first one is to find."""

    def part(*seen: list[int]) -> EvalPart:
        rows = np.arange(2)
        relevant = Ragged(np.array([1, 2, 3]), np.array([0, 1, 3]))
        had = Ragged(np.array([*seen[0], *seen[1]], np.int64), np.array([0, len(seen[0]), len(seen[0]) + len(seen[1])]))
        return EvalPart(rows, relevant, relevant, had, rows)

    tell_hidden(part([], [1]))
    assert caplog.messages == []
    tell_hidden(part([1, 5], [1]))
    assert caplog.messages[0].startswith("1 of the 3 items that validation asks for are items that the query already had")
    asked: list[EvalPart] = []
    monkeypatch.setattr(fitting, "tell_hidden", asked.append)
    for exclude_seen in (False, True):
        train(max_epochs=1, exclude_seen=exclude_seen)
        assert len(asked) == exclude_seen


def test_patience_counts_epochs_without_a_rise(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_figures(monkeypatch, [0.1, 0.3, 0.2, 0.3, 0.9])
    summary = TrainingSummary.load(train(max_epochs=10, patience=2))
    assert (summary.epochs, summary.best_epoch) == (4, 1)


def test_no_epoch_keeps_the_untrained_towers(train: Train, make_job: MakeJob) -> None:
    folder = train(max_epochs=0)
    expected = make_job().towers.state_dict()
    assert weights(folder).keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(folder).items())
    assert TrainingSummary.load(folder).curves == []
    assert sorted(path.name for path in folder.iterdir()) == [WEIGHTS, SUMMARY]


def test_without_validation_queries_the_last_epoch_is_kept(train: Train) -> None:
    folder = train(split="no_validation", max_epochs=3, patience=1)
    summary = TrainingSummary.load(folder)
    assert (summary.epochs, summary.best_epoch) == (3, 2)
    assert RECALL not in summary.curves[0]


def test_what_a_training_leaves(train: Train) -> None:
    folder = train(max_epochs=2)
    assert sorted(path.name for path in folder.iterdir()) == [WEIGHTS, SUMMARY]
    summary = TrainingSummary.load(folder)
    assert (summary.epochs, summary.batch_size, summary.precision) == (2, 96, "32")
    assert [point["epoch"] for point in summary.curves] == [0, 1]
    assert [point["step"] for point in summary.curves] == [3, 6]
    assert summary.examples_per_s == pytest.approx(2 * 288 / sum(point["seconds"] for point in summary.curves))
    assert {"loss", "temperature", "positive_similarity", "hardest_negative_similarity", RECALL} <= summary.curves[0].keys()


def test_the_curve_of_the_temperature_is_the_mean_over_its_schedule(train: Train) -> None:
    # 2 epochs of 3 steps: progress 0, .2, .4 | .6, .8, 1, from .5 down to .1.
    summary = TrainingSummary.load(train(max_epochs=2, temperature=Linear(start=0.5, end=0.1)))
    assert [point["temperature"] for point in summary.curves] == pytest.approx([0.42, 0.18])


def test_the_caller_gets_dropout_and_process_back_as_they_were(make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VARIABLE", "kept")
    job, threads = make_job(max_epochs=1), torch.get_num_threads()
    fit(job, tmp_path, Reporting(folder=tmp_path, progress_bar=False))
    assert torch.get_num_threads() == threads
    assert "LOCAL_RANK" not in fitting.os.environ
    assert fitting.os.environ["SOME_VARIABLE"] == "kept"


@pytest.mark.parametrize(("batch_size", "negatives", "warned"), [(96, None, True), (96, Uniform(num_negatives=8), False)])
def test_few_in_batch_negatives_are_warned_about(
    train: Train, caplog: pytest.LogCaptureFixture, batch_size: int, negatives: Uniform | None, warned: bool
) -> None:
    with caplog.at_level(logging.INFO):
        train(max_epochs=1, batch_size=batch_size, **({} if negatives is None else {"negatives": negatives}))
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any("fewer than 1000 in-batch negatives" in message for message in messages) is warned
    assert any("effective batch 96 over 1 device(s)" in record.getMessage() for record in caplog.records)


def test_the_warning_is_about_the_batch_that_the_data_fills(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    train(max_epochs=1, batch_size=4096)
    assert "an effective batch of 288 gives fewer than 1000" in caplog.text


def test_a_training_that_diverges_says_so_and_keeps_nothing(train: Train, tmp_path: Path) -> None:
    folder = tmp_path / "diverging"
    with pytest.raises(ConfigError, match=r"diverged.*epoch 0.*lower optimizer\.lr"):
        train(folder, optimizer=AdamW(lr=1e30), gradient_clip=None, warmup=0.0)
    assert not (folder / SUMMARY).exists()
    assert not (folder / "last.ckpt").exists()


def test_weights_that_the_last_step_ruins_are_not_kept(train: Train, tmp_path: Path) -> None:
    """One step, whose loss is still that of good weights."""
    folder = tmp_path / "ruined"
    with pytest.raises(ConfigError, match=r"diverged.*hold NaN or infinity after epoch 0.*lower optimizer\.lr"):
        train(folder, batch_size=288, max_epochs=1, optimizer=AdamW(lr=1e39), gradient_clip=None, warmup=0.0)
    assert not (folder / SUMMARY).exists()


def test_more_devices_than_pairs_are_refused_before_any_process_is_started(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(batch_size=400, devices=400)
    with pytest.raises(ConfigError, match="288 training pairs, fewer than one each"):
        fit(job, tmp_path, Reporting(folder=tmp_path, progress_bar=False))


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("optimizer", [SGD(lr=1.0, momentum=0.0), AdamW(lr=1.0, eps=1.0, weight_decay=0.0)], ids=["sgd", "adamw"])
def test_no_step_is_longer_than_the_gradient_may_be(train: Train, optimizer: object, precision: str) -> None:
    """With these rates a step of SGD is the gradient; one of AdamW is a mean of gradients, divided by more than one."""
    largest, batch_size = 1e-4, 64
    step = {"optimizer": optimizer, "precision": precision, "gradient_clip": largest, "batch_size": batch_size}
    before, after = weights(train(max_epochs=0, **step)), weights(train(max_epochs=1, **step))
    moved = sum(float((after[name] - value).square().sum()) for name, value in before.items()) ** 0.5
    assert 0 < moved <= largest * math.ceil(288 / batch_size) * 1.01


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_micro_batches_change_no_result(train: Train, precision: str) -> None:
    """In bf16 too, where a cast of the weights that was made without a graph must not serve the pass with one."""
    step = {"optimizer": SGD(lr=0.5), "dropout": 0.0, "max_epochs": 2, "precision": precision}
    plain, cached = weights(train(**step)), weights(train(micro_batch_size=17, **step))
    moved = weights(train(**step | {"max_epochs": 0}))
    for name, value in plain.items():
        change = (value - moved[name]).norm()
        assert change > 0
        assert (cached[name] - value).norm() <= (1e-4 if precision == "32" else 0.1) * change, name


def test_micro_batches_with_dropout_repeat_themselves(train: Train) -> None:
    step = {"micro_batch_size": 17, "dropout": 0.5, "max_epochs": 2}
    assert same(train(**step), train(**step))


@pytest.mark.parametrize(("max_epochs", "told"), [(3, [1]), (1, [1])])
def test_a_watch_may_end_a_training_that_is_not_over(make_job: MakeJob, tmp_path: Path, max_epochs: int, told: list[int]) -> None:
    """It would always end it: after one epoch of three there is no model, after one of one there is nothing left to save."""
    asked: list[int] = []

    def watch(epoch: int, value: float) -> bool:
        asked.append(epoch)
        return True

    def run() -> None:
        fit(make_job(max_epochs=max_epochs), tmp_path, Reporting(folder=tmp_path, progress_bar=False, watch=watch))

    if max_epochs > 1:
        with pytest.raises(Pruned, match="ended after 1 epochs"):
            run()
    else:
        run()
    assert (tmp_path / WEIGHTS).exists() == (max_epochs == 1)
    assert asked == told
