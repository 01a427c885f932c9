"""store: what the stage store holds, and its clean-up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tt_hydra.artifact.inventory import Cleaning, StoredEntry, clean, entries
from tt_hydra.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """What to show or to remove.

    Attributes:
        clean: remove entries that no run is using; each can be made again.
        older_than_days: only entries last used longer ago; 0 for all.
        stage: only this stage; null for all.
        dry_run: only tell what would be removed.
        outputs: root of the store.
    """

    clean: bool = False
    older_than_days: float = 30.0
    stage: Literal["prepare", "train", "embed", "index", "evaluate"] | None = None
    dry_run: bool = False
    outputs: Path

    def __post_init__(self) -> None:
        if self.older_than_days < 0:
            raise ConfigError(f"older_than_days={self.older_than_days:g}: at least 0")


def stored(settings: StoreSettings) -> list[StoredEntry]:
    """What the store holds, of the chosen stage."""
    found = entries(settings.outputs / "store")
    return [entry for entry in found if settings.stage in (None, entry.stage)]


def clean_up(settings: StoreSettings) -> Cleaning:
    """Removes what is old and not in use, or tells what it would."""
    return clean(
        settings.outputs / "store",
        older_than_days=settings.older_than_days or None,
        stages=None if settings.stage is None else (settings.stage,),
        dry_run=settings.dry_run,
    )
