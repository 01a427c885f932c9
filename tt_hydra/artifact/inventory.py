"""What the stage store holds, and its safe clean-up: every entry can be made again, and none is removed while somebody uses it."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tt_hydra.artifact.files import REMOVED, disk_errors, remove_tree
from tt_hydra.artifact.lock import FileLock
from tt_hydra.artifact.store import PARTIAL, lock_of, read_record
from tt_hydra.errors import StoreError

State = Literal["finished", "unfinished", "damaged", "leftover"]
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One folder of the store.

    Attributes:
        bytes: size of its files.
        title: what it is, for people.
        last_used: seconds since 1970.
        state: ``finished``; ``unfinished``: being built, or to be resumed; ``damaged``: will be built again; ``leftover`` of a removal.
        in_use: whether a running process builds or reads it.
    """

    stage: str
    key: str
    folder: Path
    bytes: int
    title: str
    last_used: float
    state: State
    in_use: bool


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a clean-up removed (or would), what it kept because it is in use, and how many bytes that frees.

    A file that a bundle shares with an entry is freed only when the bundle goes too.
    """

    removed: tuple[StoredEntry, ...]
    in_use: tuple[StoredEntry, ...]
    dry_run: bool

    @property
    def bytes(self) -> int:
        """Bytes of what was removed."""
        return sum(entry.bytes for entry in self.removed)


def entries(root: Path) -> list[StoredEntry]:
    """Everything in a store, by stage, the latest used first; an empty list where there is no store.

    Raises:
        StoreError: a folder cannot be read.
    """
    with disk_errors(root, "stage store", StoreError):
        stages = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        found = [_entry(folder) for stage in stages for folder in stage.iterdir() if folder.is_dir()]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.stage, -entry.last_used))


def clean(
    root: Path,
    *,
    older_than_days: float | None = None,
    stages: Collection[str] | None = None,
    keep_keys: Collection[str] = (),
    dry_run: bool = True,
) -> Cleaning:
    """Removes entries that nobody uses.

    Args:
        root: of the store.
        older_than_days: only entries last used longer ago than this; None for all.
        stages: only these stages; None for all.
        keep_keys: keys to keep whatever their age.
        dry_run: only tell what would go.

    Raises:
        StoreError: a folder cannot be removed.
    """
    before = time.time() - (older_than_days or 0.0) * SECONDS_PER_DAY
    chosen = [entry for entry in entries(root) if (stages is None or entry.stage in stages) and entry.key not in keep_keys]
    chosen = [entry for entry in chosen if older_than_days is None or entry.last_used < before]
    removed: list[StoredEntry] = []
    in_use: list[StoredEntry] = []
    with disk_errors(root, "stage store", StoreError):
        for entry in chosen:
            with _alone(lock_of(entry.folder.with_name(entry.key)), remove=not dry_run) as alone:
                (removed if alone else in_use).append(entry)
                if alone and not dry_run:
                    _remove(entry)
    return Cleaning(tuple(removed), tuple(in_use), dry_run)


def _entry(folder: Path) -> StoredEntry | None:
    """What a folder is; None if it was finished or removed while it was looked at."""
    key, state = _key_and_state(folder)
    record = read_record(folder) if state == "finished" else None
    lock = lock_of(folder.with_name(key))
    with _alone(lock, remove=False) as alone:
        pass
    stats = _stats(folder)
    if not stats:
        return None
    building = state == "unfinished" and not alone
    return StoredEntry(
        stage=folder.parent.name,
        key=key,
        folder=folder,
        bytes=sum(each.st_size for each in stats if stat.S_ISREG(each.st_mode)),
        title=f"built by {FileLock(lock).holder()}" if building else "" if record is None else str(record["describe"].get("title", "")),
        last_used=max(each.st_mtime for each in stats),
        state="damaged" if state == "finished" and record is None else state,
        in_use=not alone,
    )


def _stats(folder: Path) -> list[os.stat_result]:
    """Of the folder and its files, as far as they stand still."""
    paths = [folder, *(Path(parent) / name for parent, _, names in os.walk(folder) for name in names)]
    stats = []
    for path in paths:
        with suppress(FileNotFoundError):
            stats.append(path.stat())
    return stats


def _key_and_state(folder: Path) -> tuple[str, State]:
    if REMOVED in folder.name:
        return folder.name.partition(REMOVED)[0].removesuffix(PARTIAL), "leftover"
    if folder.name.endswith(PARTIAL):
        return folder.name.removesuffix(PARTIAL), "unfinished"
    return folder.name, "finished"


@contextmanager
def _alone(lock_file: Path, remove: bool) -> Iterator[bool]:
    """Whether nobody else uses an entry; holds its lock for the block, and takes the lock file away with the entry."""
    if not (remove or lock_file.exists()):
        yield True
        return
    lock = FileLock(lock_file)
    alone = lock.try_exclusive(sign=False)
    try:
        yield alone
        if alone and remove:
            lock_file.unlink(missing_ok=True)
    finally:
        lock.release()


def _remove(entry: StoredEntry) -> None:
    if entry.state == "leftover":
        shutil.rmtree(entry.folder)
    elif entry.folder.exists():
        remove_tree(entry.folder)
