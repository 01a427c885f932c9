"""Where Optuna keeps a study: a journal in the sweep's folder, or any URL; and locks that end with the process that holds them."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock

from tt_hydra.artifact.lock import FileLock
from tt_hydra.errors import ConfigError

JOURNAL = "study.log"
POLL_SECONDS = 0.01
SQLITE_PATIENCE_SECONDS = 60


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage behind a URL, or the journal in a sweep's folder.

    Raises:
        ConfigError: there is none, or it cannot be opened.
    """
    if url is None or url.endswith(".log"):
        return _journal(folder / JOURNAL if url is None else Path(url))
    options = {"connect_args": {"timeout": SQLITE_PATIENCE_SECONDS}} if url.startswith("sqlite") else {}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # whatever the database's driver raises
        raise ConfigError(f"sweep.storage={url} cannot be opened: {str(error).splitlines()[0]}") from error


def described(url: str | None, folder: Path) -> str:
    """The storage as optuna-dashboard takes it."""
    return str(folder / JOURNAL) if url is None else url


def _journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = KernelLock(path.with_name(f".{path.name}.lock"))  # not the name that Optuna itself locks by
    with held(lock.lock):
        _mend(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _mend(path: Path) -> None:
    """Takes off a last line that was cut short: Optuna reads nothing after it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


class KernelLock(BaseJournalFileLock):
    """Optuna's own locks of journals outlive a killed process by half a minute; this one ends with it."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        """Waits for the lock."""
        acquire(self.lock)
        return True

    def release(self) -> None:
        """Lets go."""
        self.lock.release()


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Waits for a lock and holds it inside the block."""
    acquire(lock)
    try:
        yield
    finally:
        lock.release()


def acquire(lock: FileLock) -> None:
    """Waits for a lock."""
    while not lock.try_exclusive(sign=False):
        time.sleep(POLL_SECONDS)


def quieten() -> None:
    """Leaves to us what is told of trials; a training that goes on from its last checkpoint may come to the same epochs again."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", "The reported value is ignored because this `step=", UserWarning)
