from __future__ import annotations

from typing import Any

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.train.optimizer import SGD, AdamW
from tt_hydra.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_epochs": -1}, r"train\.max_epochs must be at least 0, got -1"),
        ({"align_epochs": -1}, r"train\.align_epochs must be at least 0, got -1"),
        ({"batch_size": 0}, r"train\.batch_size must be at least 1"),
        ({"devices": 0}, r"train\.devices must be at least 1"),
        ({"devices": 3, "batch_size": 100}, r"train\.batch_size=100 is shared by train\.devices=3"),
        ({"num_nodes": 0}, r"train\.num_nodes must be at least 1"),
        (
            {"devices": 2, "num_nodes": 3, "batch_size": 100},
            r"train\.batch_size=100 is shared by train\.devices=2 on each of 3 nodes and must divide by 6",
        ),
        ({"warmup": 1.5}, r"train\.warmup is a share"),
        ({"gradient_clip": 0.0}, r"train\.gradient_clip must be above 0, or null"),
        ({"micro_batch_size": 0}, r"train\.micro_batch_size must be at least 1, got 0"),
        ({"memory_gb": 0.0}, r"train\.memory_gb must be above 0, or null"),
        ({"memory_gb": 2.0, "micro_batch_size": 8}, r"set one of them"),
        ({"patience": 0}, r"train\.patience must be at least 1"),
    ],
)
def test_values_that_cannot_work_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainSettings(**values)


@pytest.mark.parametrize("values", [{"max_epochs": 0}, {"warmup": 1.0}, {"warmup": 0.0}, {"gradient_clip": None}, {"patience": None}])
def test_values_at_the_edge_are_taken(values: dict[str, Any]) -> None:
    TrainSettings(**values)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_an_optimizer_refuses_rates_that_cannot_work(kind: type[AdamW | SGD]) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr must be above 0, got 0"):
        kind(lr=0.0)
    with pytest.raises(ConfigError, match=r"optimizer\.weight_decay must be 0 or more, got -1"):
        kind(weight_decay=-1.0)


def test_momentum_is_below_one() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.momentum must be in \[0, 1\), got 1"):
        SGD(momentum=1.0)


def test_the_hyper_parameters_reach_the_optimizer_and_a_group_keeps_its_own() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5, "weight_decay": 0.25}]
    adam = AdamW(lr=0.1, weight_decay=0.2, betas=(0.7, 0.8), eps=1e-4).build(groups)
    assert isinstance(adam, torch.optim.AdamW)
    assert {name: adam.param_groups[0][name] for name in ("lr", "weight_decay", "betas", "eps")} == {
        "lr": 0.5,
        "weight_decay": 0.25,
        "betas": (0.7, 0.8),
        "eps": 1e-4,
    }
    sgd = SGD(lr=0.1, momentum=0.3).build([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5, "weight_decay": 0.25}])
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["lr"]) == (0.3, 0.5)


def test_adamw_on_a_cpu_is_one_kernel_with_the_plain_result() -> None:
    found = []
    for fused in (True, False):
        parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
        group = [{"params": [parameter], "lr": 0.1, "weight_decay": 0.2}]
        optimizer = AdamW().build(group) if fused else torch.optim.AdamW(group, fused=False)
        assert bool(optimizer.defaults["fused"]) is fused
        for step in range(3):
            parameter.grad = torch.tensor([0.5, -0.1 * step])
            optimizer.step()
        found.append(parameter.detach())
    torch.testing.assert_close(found[0], found[1])
