"""A file lock that the kernel releases when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tt_hydra.errors import StoreError

_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """One process builds (exclusive) or several read (shared) what a lock file stands for.

    The file may be deleted by whoever holds it exclusively, so a lock counts only while its file is still the one at its path.
    A forked child holds nothing: otherwise a worker that outlives a killed parent would keep the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, either way."""
        return self._descriptor is not None

    def try_exclusive(self, sign: bool = True) -> bool:
        """Takes the lock alone; False where anybody else holds it.

        Args:
            sign: write down who holds it, for those who wait.

        Raises:
            OSError: the file cannot be opened.
            StoreError: the file system has no locks.
        """
        if not self._take(fcntl.LOCK_EX | fcntl.LOCK_NB):
            return False
        if sign:
            self._sign()
        return True

    def exclusive(self) -> None:
        """Takes the lock alone, and waits for as long as somebody else holds it.

        Raises:
            OSError: the file cannot be opened.
            StoreError: the file system has no locks.
        """
        self._take(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Takes the lock together with other readers; False where somebody holds it alone."""
        return self._take(fcntl.LOCK_SH | fcntl.LOCK_NB)

    def share(self) -> None:
        """Turns an exclusive lock into a shared one."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Lets go; harmless where nothing is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _open_locks.discard(self)

    def holder(self) -> str:
        """Who took it exclusively last, for a message."""
        try:
            who = json.loads(self.path.read_text(encoding="utf-8"))
            return f"process {who['pid']} on {who['host']} since {who['since']} ({who['command']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _take(self, how: int) -> bool:
        self.release()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, how)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError as error:
                os.close(descriptor)
                raise StoreError(
                    f"cannot lock {self.path}: {error}. The stage store needs a file system with file locks: set "
                    "TT_HYDRA_OUTPUTS to a local disk"
                ) from error
            if self._is_current(descriptor):
                self._descriptor = descriptor
                _open_locks.add(self)
                return True
            os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _sign(self) -> None:
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": " ".join(sys.argv)[:200],
        }
        with suppress(OSError):  # a full disk must not cost the lock
            assert self._descriptor is not None
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(who).encode(), 0)

    def __del__(self) -> None:
        self.release()


def _forget_after_fork() -> None:
    for lock in list(_open_locks):
        lock.release()


os.register_at_fork(after_in_child=_forget_after_fork)
