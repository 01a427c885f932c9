"""Where the store keeps the output of each stage of one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """A folder for each stage; ``train`` is None where vectors were given."""

    prepare: Path
    train: Path | None
    embed: Path
    index: Path
    evaluate: Path
