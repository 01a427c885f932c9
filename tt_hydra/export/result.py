"""What an export gave, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tt_hydra.contracts import Side
from tt_hydra.export.int8 import Loss

TORCH, FLOAT, INT8 = "torch", "onnx", "onnx int8"
"""Names of the arms whose latency is measured."""
NOTABLY = 0.95
"""Share of a time that another must be below to count as faster: medians of the same arm differ by this much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantized:
    """The 8-bit form of a tower.

    Attributes:
        file: its name.
        loss: against the float form.
        bytes: of the weights, by arm.
        p50_ms: median latency of one query, one thread, by arm.
    """

    file: str
    loss: Loss
    bytes: Mapping[str, int]
    p50_ms: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """Whether it pays, in one sentence."""
        quick, slow = self.p50_ms[INT8], self.p50_ms[FLOAT]
        if quick < NOTABLY * slow:
            return f"int8 takes {quick / slow:.0%} of the time of float32 in ONNX Runtime, one query at a time on this CPU"
        return (
            f"int8 is not faster here: {quick:.3g} ms against {slow:.3g} ms of float32 in ONNX Runtime, one query at a time. Quantizing "
            "what flows between costs what small matrix products save, and some CPUs have no instructions for it: at best it saves bytes"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        figures = {"loss": self.loss.to_json(), "bytes": dict(self.bytes), "p50_ms": dict(self.p50_ms)}
        return {"file": self.file, **figures, "verdict": self.verdict}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedTower:
    """One tower that was written and compared with its original.

    Attributes:
        side: whose tower.
        file: its name in the folder; the folder itself where a model is many files.
        bytes: of it and its weights.
        rows: how many stored queries or items were compared.
        difference: the largest one between two numbers of their vectors.
        quantized: its 8-bit form, if one was asked for.
    """

    side: Side
    file: str
    bytes: int
    rows: int
    difference: float
    quantized: Quantized | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in ("file", "bytes")}
        checked = {"rows": self.rows, "largest_difference": self.difference}
        return {**plain, "checked": checked, **({} if self.quantized is None else {"int8": self.quantized.to_json()})}


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export."""

    path: Path
    towers: tuple[ExportedTower, ...]
