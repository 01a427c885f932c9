"""The stages of one run: each is found in the store or filled, and what it took is remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tt_hydra.artifact.store import Store, read_record
from tt_hydra.contracts import Watch
from tt_hydra.pipeline.announce import announce, hear
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.table import key_of
from tt_hydra.train.rank import by_torchrun, is_follower

logger = logging.getLogger(__name__)

PREPARE, TRAIN = "prepare", "train"
"""The stages that followers take part in: they read what the first one gives, and fill the second together with the first rank."""


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What a stage took in this run, and whether its output was there already."""

    key: str
    seconds: float
    reused: bool


@dataclass(slots=True)
class Session:
    """One run's way through the store."""

    store: Store
    settings: RunSettings
    watch: Watch | None = None
    keys: dict[str, str] = field(default_factory=dict)
    records: dict[str, StageRecord] = field(default_factory=dict)

    def stage(self, name: str, resolved: Mapping[str, Any], describe: Mapping[str, Any], fill: Callable[[Path], None]) -> Path:
        """The folder with a stage's output, filled now unless the store has it.

        Args:
            name: a name in ``STAGES``.
            resolved: what enters the key besides the settings, see ``key_of``.
            describe: what the store shall tell about the entry.
            fill: writes the output into the folder it is given, which may hold what an interrupted run left.
        """
        key = self.keys[name] = key_of(name, self.settings, self.keys, resolved)
        if is_follower():
            return self._follow(name, key, fill)
        with self.store.stage(name, key, describe=describe) as entry:
            if entry.done:
                logger.info("%s: reused, it took %.1f s when it was built", name, entry.cost_seconds)
            else:
                logger.info("%s ...", name)
                if name == TRAIN and by_torchrun():
                    announce(name, entry.folder)
                fill(entry.folder)
        if by_torchrun() and (name == PREPARE or (name == TRAIN and entry.reused)):
            announce(name, entry.folder)
        self.records[name] = StageRecord(key, entry.seconds, entry.reused)
        return entry.folder

    def skip(self, name: str) -> None:
        """Leaves a stage out, which later keys must show."""
        self.keys[name] = "skipped"

    def _follow(self, name: str, key: str, fill: Callable[[Path], None]) -> Path:
        if by_torchrun() and name in (PREPARE, TRAIN):
            hear(name, lambda: self.store.peek(name, key))
        folder = self.store.peek(name, key)
        if name == PREPARE:
            return folder
        if name == TRAIN and read_record(folder) is None:
            fill(folder)
        raise SystemExit(0)

    def metrics(self) -> dict[str, float]:
        """``stage/<name>/seconds`` and ``stage/<name>/reused``."""
        figures: dict[str, float] = {}
        for name, record in self.records.items():
            figures |= {f"stage/{name}/seconds": record.seconds, f"stage/{name}/reused": float(record.reused)}
        return figures
