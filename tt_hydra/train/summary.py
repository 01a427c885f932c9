"""What a training leaves beside its weights: ``training.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tt_hydra.train.selection import CurvePoint

SUMMARY = "training.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSummary:
    """What came out: ``curves`` has a record for each epoch."""

    epochs: int
    best_epoch: int
    examples_per_s: float
    batch_size: int
    precision: str
    curves: list[CurvePoint]

    def save(self, folder: Path) -> None:
        """Writes ``training.json``, the last file of a training: where it is, all is."""
        unfinished = folder / f"{SUMMARY}.tmp"
        unfinished.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        unfinished.replace(folder / SUMMARY)

    @classmethod
    def load(cls, folder: Path) -> TrainingSummary:
        """Reads ``training.json``."""
        return cls(**json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
