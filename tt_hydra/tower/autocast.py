"""The number formats that towers run in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["32", "bf16", "16"]


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The autocast context in which towers run at this precision; 16 is for GPUs, elsewhere what was trained in it runs in 32."""
    if precision == "32" or (precision == "16" and device.type == "cpu"):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
