"""What happens at each step: learning rate, temperature, clipping, log, randomness."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from safetensors.torch import load_file

from tt_hydra.temperature.learned import Learned
from tt_hydra.temperature.linear import Linear
from tt_hydra.train.fit import WEIGHTS, TrainingJob
from tt_hydra.train.loggers import Csv
from tt_hydra.train.module import RetrievalModule
from tt_hydra.train.optimizer import SGD, AdamW

MakeJob = Callable[..., TrainingJob]
Train = Callable[..., Path]


def module_of(job: TrainingJob, total_steps: int) -> RetrievalModule:
    return RetrievalModule(job.towers, job.objective, job.settings, total_steps, job.seed)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"warmup": 0.2, "decay": "linear"}, [1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ({"warmup": 0.2, "decay": "none"}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1, 1]),
        ({"warmup": 0.6, "decay": "cosine"}, [1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1, 0.853553, 0.5, 0.146447]),
        ({"warmup": 0.0, "decay": "linear"}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
    ],
)
def test_the_learning_rate_warms_up_and_falls(make_job: MakeJob, settings: dict[str, Any], expected: list[float]) -> None:
    configured: Any = module_of(make_job(optimizer=SGD(lr=2.0), **settings), 10).configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert configured["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([2.0 * share for share in expected], rel=1e-5)


def test_a_learned_temperature_is_trained_and_never_decayed(make_job: MakeJob) -> None:
    module = module_of(make_job(temperature=Learned(), optimizer=AdamW(lr=0.1, weight_decay=0.5)), 10)
    configured: Any = module.configure_optimizers()
    (own,) = (
        group
        for group in configured["optimizer"].param_groups
        if any(each is parameter for each in group["params"] for parameter in module.temperature.parameters())
    )
    assert (own["weight_decay"], own["initial_lr"], len(own["params"])) == (0.0, 0.1, 1)
    assert any(group["weight_decay"] == 0.5 for group in configured["optimizer"].param_groups)


def test_every_trained_weight_is_in_one_group(make_job: MakeJob) -> None:
    module = module_of(make_job(temperature=Learned()), 10)
    configured: Any = module.configure_optimizers()
    grouped = [id(parameter) for group in configured["optimizer"].param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in module.parameters() if parameter.requires_grad)


def test_scaled_gradients_are_not_clipped_for_an_optimizer_that_unscales_them_later(make_job: MakeJob) -> None:
    module = module_of(make_job(), 10)
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    module.trainer = pl.Trainer(accelerator="cpu", plugins=[precision], logger=False, enable_checkpointing=False)
    weights = list(module.parameters())
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    with pytest.raises(RuntimeError, match="unscaling of gradients internally"):
        module.configure_gradient_clipping(torch.optim.AdamW(weights, fused=True), 1.0, "norm")
    module.configure_gradient_clipping(torch.optim.AdamW(weights), 1.0, "norm")
    assert sum(float(weight.grad.square().sum()) for weight in weights if weight.grad is not None) == pytest.approx(1.0, rel=1e-3)


def test_each_step_is_logged_with_its_temperature(train: Train) -> None:
    folder = train(max_epochs=2, temperature=Linear(start=0.5, end=0.1), logger=Csv())
    rows = list(csv.DictReader((folder / "csv" / "metrics.csv").open(encoding="utf-8")))
    steps = [row for row in rows if row["train/temperature"]]
    assert [int(row["step"]) for row in steps] == [0, 1, 2, 3, 4, 5]
    assert [float(row["train/temperature"]) for row in steps] == pytest.approx([0.5, 0.42, 0.34, 0.26, 0.18, 0.1])
    assert all(row["train/loss"] and row["train/positive_similarity"] and row["train/hardest_negative_similarity"] for row in steps)
    assert len([row for row in rows if row["valid/model/recall@10"]]) == 2


@pytest.mark.parametrize("limit", [0.001, 0.02])
def test_a_gradient_is_clipped_to_its_largest_norm(train: Train, make_job: MakeJob, limit: float) -> None:
    """One plain step at rate 1: the weights move by the gradient, and by no more than the limit."""
    step = {"max_epochs": 1, "batch_size": 288, "warmup": 0.0, "optimizer": SGD(lr=1.0, momentum=0.0)}
    before = make_job().towers.state_dict()

    def moved(clip: float | None) -> float:
        after = load_file(train(gradient_clip=clip, **step) / WEIGHTS)
        return float(torch.sqrt(sum(((after[name] - before[name]) ** 2).sum() for name in before)))

    free = moved(None)
    assert free > limit
    assert moved(limit) == pytest.approx(limit, rel=1e-3)
    assert moved(10 * free) == pytest.approx(free, rel=1e-6)


def test_dropout_differs_from_step_to_step_and_follows_the_seed(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(step: int, seed: int) -> float:
        job = make_job(seed=seed)
        module = module_of(job, 10)
        monkeypatch.setattr(RetrievalModule, "global_step", step)
        monkeypatch.setattr(RetrievalModule, "global_rank", 0)
        module.on_train_batch_start(None, 0)  # type: ignore[arg-type]
        return float(torch.rand(()))

    values = {(step, seed): drawn(step, seed) for step in (0, 1, 2) for seed in (0, 1)}
    assert len(set(values.values())) == len(values)
    assert drawn(1, 1) == values[1, 1]
