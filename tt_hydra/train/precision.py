"""Which number format this machine trains and encodes fastest in, found by looking at it, not by timing: the answer enters stage keys."""

from __future__ import annotations

from typing import Literal

import torch

from tt_hydra.errors import ConfigError
from tt_hydra.tower.autocast import Precision

Device = Literal["cpu", "gpu"]

LIGHTNING_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def resolve_device(accelerator: Literal["auto", "cpu", "gpu"], devices: int = 1) -> Device:
    """The kind of device to run on.

    Raises:
        ConfigError: GPUs are asked for and there are none, or fewer.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(
            "train.accelerator=gpu, but torch finds no CUDA device: use train.accelerator=cpu, or install a CUDA build of torch"
        )
    device: Device = "cpu" if accelerator == "cpu" or not torch.cuda.is_available() else "gpu"
    if device == "gpu" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"train.devices={devices}, but torch finds {torch.cuda.device_count()} GPU(s): use as many, or train.accelerator=cpu"
        )
    return device


def resolve_precision(wanted: Literal["auto", "32", "bf16", "16"], device: Device, large_matrices: bool) -> Precision:
    """The number format of the towers; losses are in float32 in any case.

    Args:
        wanted: the config's choice.
        device: kind of device.
        large_matrices: whether a tower is a transformer. Small feature towers lose more to casting than bfloat16 gives them.

    Raises:
        ConfigError: half precision on a CPU.
    """
    if wanted == "16" and device == "cpu":
        raise ConfigError("train.precision=16 needs a GPU: on a CPU use 32, bf16 or auto")
    if wanted != "auto":
        return wanted
    if device == "gpu":
        return "bf16" if torch.cuda.is_bf16_supported() else "16"
    return "bf16" if large_matrices and _cpu_has_bf16_tiles() else "32"


def _cpu_has_bf16_tiles() -> bool:
    """Whether the CPU has AMX. AVX-512 alone knows bfloat16 too, but encodes no faster with it than in float32."""
    return bool(torch.cpu._is_amx_tile_supported())
