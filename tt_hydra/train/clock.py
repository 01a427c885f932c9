"""Where the time of the training steps goes."""

from __future__ import annotations

import time
from typing import Literal

import torch

Phase = Literal["data", "forward", "loss", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("data", "forward", "loss", "backward", "optimizer")
GPU_EVERY = 10
"""Steps of which one is timed on a GPU, where timing a part of a step means to wait for it."""


class StepClock:
    """Adds up the seconds of each part of the steps: what passes between two calls belongs to the later one."""

    def __init__(self) -> None:
        self._seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self._device, self._steps, self._last = torch.device("cpu"), 0, 0.0

    def start(self, device: torch.device) -> None:
        """The clock runs from here, for steps on this device."""
        self._device, self._last = device, time.perf_counter()

    def passed(self, phase: Phase) -> None:
        """A part of a step is done; ``optimizer`` is the last of a step."""
        timed = self._device.type != "cuda" or self._steps % GPU_EVERY == 0
        if timed and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if timed:
            self._seconds[phase] += now - self._last
        self._last = now
        self._steps += phase == "optimizer"

    def take_shares(self) -> dict[str, float]:
        """Each part's share of the time since the last call, as ``time/<part>``; nothing where no time was taken."""
        total = sum(self._seconds.values())
        shares = {f"time/{phase}": seconds / total for phase, seconds in self._seconds.items()} if total else {}
        self._seconds = dict.fromkeys(PHASES, 0.0)
        return shares
