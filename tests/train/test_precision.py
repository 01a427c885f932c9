from __future__ import annotations

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.tower.autocast import Precision
from tt_hydra.train.precision import Device, resolve_device, resolve_precision


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> object:
    def pretend(gpus: int = 0, gpu_bf16: bool = True, amx: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: gpu_bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    return pretend


def test_a_gpu_is_taken_where_there_is_one(machine) -> None:
    machine(gpus=1)
    assert [resolve_device(wanted) for wanted in ("auto", "gpu", "cpu")] == ["gpu", "gpu", "cpu"]
    machine(gpus=0)
    assert [resolve_device(wanted) for wanted in ("auto", "cpu")] == ["cpu", "cpu"]


def test_gpus_that_are_not_there_are_refused(machine) -> None:
    machine(gpus=0)
    with pytest.raises(ConfigError, match=r"train\.accelerator=gpu, but torch finds no CUDA device"):
        resolve_device("gpu")
    machine(gpus=1)
    with pytest.raises(ConfigError, match=r"train\.devices=2, but torch finds 1 GPU"):
        resolve_device("auto", 2)
    assert resolve_device("cpu", 2) == "cpu"


@pytest.mark.parametrize(
    ("device", "large", "gpu_bf16", "amx", "expected"),
    [
        ("gpu", False, True, False, "bf16"),
        ("gpu", True, False, False, "16"),
        ("cpu", True, True, True, "bf16"),
        ("cpu", True, True, False, "32"),
        ("cpu", False, True, True, "32"),
    ],
)
def test_auto_is_what_the_machine_is_fast_in(machine, device: Device, large: bool, gpu_bf16: bool, amx: bool, expected: Precision) -> None:
    machine(gpus=1, gpu_bf16=gpu_bf16, amx=amx)
    assert resolve_precision("auto", device, large) == expected


def test_a_choice_is_kept_but_half_precision_on_a_cpu_is_refused(machine) -> None:
    machine(amx=True)
    assert resolve_precision("32", "cpu", True) == "32"
    assert resolve_precision("bf16", "cpu", False) == "bf16"
    with pytest.raises(ConfigError, match=r"train\.precision=16 needs a GPU"):
        resolve_precision("16", "cpu", True)
