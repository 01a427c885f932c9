"""The stage store: each stage's output is built once, under a key that says all that it depends on.

Layout under the root: ``<stage>/<key>/`` a finished entry with its ``entry.json``; ``<stage>/<key>.partial/`` one that is being
built or was interrupted, handed out again to whoever builds it next; ``<stage>/<key>.lock`` held alone while it is built and
together by all that read it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tt_hydra.artifact.files import DENIED, disk_errors, publish, remove_tree, sizes, write_json
from tt_hydra.artifact.keys import FORMAT, stage_key
from tt_hydra.artifact.lock import FileLock
from tt_hydra.errors import StoreError

log = logging.getLogger(__name__)

RECORD = "entry.json"
PARTIAL = ".partial"
LOCK = ".lock"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_POLL_SECONDS = 0.05
_SAY_AFTER_SECONDS = 0.5


@dataclass(slots=True)
class Entry:
    """One stage's output while the ``with`` block of `Store.stage` runs, and after it.

    Attributes:
        folder: where to read (``reused``) or to fill. After the block: the finished folder.
        reused: whether it was there already; then nothing is to be done.
        resumed: whether ``folder`` holds what an interrupted build left.
        cost_seconds: what building it took when it was built.
    """

    stage: str
    key: str
    folder: Path
    reused: bool
    resumed: bool = False
    cost_seconds: float = 0.0
    _started: float = 0.0
    _ended: float | None = None

    @property
    def done(self) -> bool:
        """The same as ``reused``, read as a question at the head of the block."""
        return self.reused

    @property
    def seconds(self) -> float:
        """Seconds spent on it in this run, waiting included."""
        return (time.monotonic() if self._ended is None else self._ended) - self._started


class Store:
    """A folder of finished stages.

    Entries that were built or reused stay protected from a clean-up until `close`, or until the process ends.

    Example:
        >>> with Store(root).stage("train", key, describe={"tower": "mlp"}) as entry:  # doctest: +SKIP
        ...     if not entry.done:
        ...         fit(entry.folder)
    """

    key = staticmethod(stage_key)

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._held: dict[Path, FileLock] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets a clean-up remove what this store has handed out."""
        while self._held:
            self._held.popitem()[1].release()

    @contextmanager
    def stage(self, stage: str, key: str, describe: Mapping[str, Any] | None = None) -> Iterator[Entry]:
        """Hands out a stage's folder: finished, or to be filled and finished at the block's clean end.

        After an exception, a Ctrl-C or a kill the folder stays as ``.partial`` and is handed out again. A second run of the same
        key waits for the first, says so once, and reuses its result.

        Args:
            stage: name of the stage.
            key: from `Store.key`.
            describe: plain JSON values that say what it is, written to ``entry.json``; ``title`` is what listings show.

        Raises:
            StoreError: the disk is full, permission is refused, or the file system knows no locks.
        """
        final = self._final(stage, key)
        started = time.monotonic()
        with disk_errors(self.root, f"stage store, {stage}", StoreError):
            entry = self._acquire(Entry(stage, key, final, reused=True, _started=started))
            try:
                yield entry
                if not entry.reused:
                    self._finish(entry, final, describe or {})
            except BaseException:
                if not entry.reused:
                    self._let_go(final)
                raise
        entry._ended = time.monotonic()

    def peek(self, stage: str, key: str) -> Path:
        """The folder of a stage without any lock: finished if it is, else the one being filled. For the other ranks of a run."""
        final = self._final(stage, key)
        return final if read_record(final) is not None else partial_of(final)

    def _final(self, stage: str, key: str) -> Path:
        if not (_NAME.fullmatch(stage) and _NAME.fullmatch(key)):
            raise StoreError(f"stage {stage!r} and key {key!r}: only letters, digits, '-' and '_' make a folder's name")
        return self.root / stage / key

    def _acquire(self, entry: Entry) -> Entry:
        """Waits until the entry is finished (shared lock) or ours to build (exclusive lock)."""
        final, said = entry.folder, False
        while True:
            record = read_record(final)
            if record is not None and self._protect(final):
                entry.cost_seconds = float(record["seconds"])
                _touch(final / RECORD)
                return entry
            if record is None and self._own(final):
                return self._open(entry)
            if not said and entry.seconds > _SAY_AFTER_SECONDS:
                log.info("%s %s is being built: waiting for %s", entry.stage, entry.key, FileLock(lock_of(final)).holder())
                said = True
            time.sleep(_POLL_SECONDS)

    def _protect(self, final: Path) -> bool:
        """Keeps clean-ups away from a finished entry; on a store that is read-only nobody can clean anyway."""
        if final in self._held:
            return True
        lock = FileLock(lock_of(final))
        try:
            if not lock.try_shared():
                return False
        except OSError as error:
            if error.errno in DENIED:
                return True
            raise
        if read_record(final) is None:
            lock.release()
            return False
        self._held[final] = lock
        return True

    def _own(self, final: Path) -> bool:
        self._let_go(final)
        lock = FileLock(lock_of(final))
        taken = lock.try_exclusive()
        if taken and read_record(final) is not None:
            lock.release()
            return False
        if taken:
            self._held[final] = lock
        return taken

    def _let_go(self, final: Path) -> None:
        lock = self._held.pop(final, None)
        if lock is not None:
            lock.release()

    def _open(self, entry: Entry) -> Entry:
        final = entry.folder
        if final.exists():
            log.warning("%s is damaged (its files are not those of its %s): built again", final, RECORD)
            remove_tree(final)
        entry.reused, entry.folder = False, partial_of(final)
        entry.resumed = entry.folder.is_dir() and any(entry.folder.iterdir())
        if entry.resumed:
            log.info("%s: continuing what an interrupted run left in %s", entry.stage, entry.folder)
        entry.folder.mkdir(parents=True, exist_ok=True)
        return entry

    def _finish(self, entry: Entry, final: Path, describe: Mapping[str, Any]) -> None:
        (entry.folder / RECORD).unlink(missing_ok=True)
        files = sizes(entry.folder)
        entry.cost_seconds = entry.seconds
        record = {
            "format": FORMAT,
            "stage": entry.stage,
            "key": entry.key,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": entry.cost_seconds,
            "bytes": sum(files.values()),
            "describe": dict(describe),
            "files": files,
        }
        write_json(entry.folder / RECORD, record)
        publish(entry.folder, final)
        entry.folder = final
        self._held[final].share()
        if read_record(final) is None:
            raise StoreError(f"{final} was removed or changed by somebody else while it was finished: run the same command again")


def partial_of(final: Path) -> Path:
    """Where an entry is built."""
    return final.with_name(final.name + PARTIAL)


def lock_of(final: Path) -> Path:
    """The lock file of an entry."""
    return final.with_name(final.name + LOCK)


def read_record(final: Path) -> dict[str, Any] | None:
    """What ``entry.json`` says, or None unless the entry is whole: every file there, each of its recorded size."""
    try:
        record: dict[str, Any] = json.loads((final / RECORD).read_text(encoding="utf-8"))
        whole = all((final / name).stat().st_size == size for name, size in record["files"].items())
        return record if whole and record["format"] == FORMAT and {"seconds", "bytes", "describe"} <= record.keys() else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _touch(path: Path) -> None:
    with suppress(OSError):  # the last use is only a hint for clean-ups
        os.utime(path)
