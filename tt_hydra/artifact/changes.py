"""The log of changes of a registry's catalogue: what it has acknowledged is there, in order and once, whatever happens to its writers.

Layout: ``<first number>.log``, segments of frames, each frame the changes of one `ChangeLog.append`; ``acknowledged``, how far they were
forced to the disk; ``.lock``, held during an append. A frame behind that which is not whole was never acknowledged: readers do not see it,
the next append cuts it off. One anywhere else is damage.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tt_hydra.artifact.acknowledged import Mark, note, noted_in
from tt_hydra.artifact.change import Change, Frame, frame, frame_at, frame_behind, normal, pack
from tt_hydra.artifact.files import disk_errors, sync
from tt_hydra.artifact.lock import FileLock
from tt_hydra.errors import BundleError

__all__ = ["CHANGES", "Change", "ChangeLog"]

log = logging.getLogger(__name__)

CHANGES = "changes"
"""Its folder under a registry."""
LOCK, SUFFIX = ".lock", ".log"
SEGMENT = 16 * 2**20
"""Bytes from which on another segment is begun."""
_REPAIR = "Copy the folder from a backup, or remove it: what its changes added since the version that is served is then lost"


class ChangeLog:
    """Changes in the order of their numbers, appended by any number of processes and threads.

    Args:
        folder: of the log; made by the first append.
        after: numbers up to here are taken: those of changes that a version contains already.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        self.folder = folder
        self._after = after
        self._opened = False
        self._read_to = Mark(0, 0, 0)
        self._one_thread = threading.Lock()

    @property
    def last(self) -> int:
        """Number of the last acknowledged change; ``after`` before the first.

        Raises:
            BundleError: the log is damaged, or does not reach as far as ``after``.
        """
        return self._acknowledged().last

    def append(self, changes: Sequence[Change]) -> list[Change]:
        """Writes changes behind all others, forces them to the disk together and gives them their numbers.

        Returns:
            The changes with their numbers, and with values as they will be read.

        Raises:
            DataError: a value cannot be kept.
            BundleError: the disk refuses, and then the log is as it was; or the log is damaged.
        """
        ready = [normal(change) for change in changes]
        if not ready:
            return []
        body = pack(ready)
        with self._alone():
            mark = self._recovered()
            if not mark.segment or mark.end >= SEGMENT:
                mark = self._begun(mark)
            self._write(mark, frame(mark.last + 1, len(ready), body), len(ready))
        return [replace(change, seq=mark.last + number) for number, change in enumerate(ready, start=1)]

    def read(self, after: int) -> list[Change]:
        """All acknowledged changes with greater numbers, in order.

        Raises:
            BundleError: some are no longer kept, or the log is damaged: file and offset are named.
        """
        mark = self._acknowledged()
        if after >= mark.last:
            return []
        frames = self._frames(self._place(after), mark)
        changes = [change for each in frames for change in each.changes() if change.seq > after]
        self._read_to = mark
        return changes

    def prune(self, through: int) -> None:
        """Forgets changes up to a number, as far as files hold nothing later.

        Raises:
            BundleError: the disk refuses, or the log is damaged.
        """
        if not self.folder.is_dir():
            return
        with self._alone():
            mark = self._recovered()
            if mark.end and mark.last <= through:
                self._begun(mark)
            segments = self._segments()
            for first, following in pairwise(segments):
                if following <= through + 1:
                    self._path(first).unlink()
            sync(self.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process writes inside the block."""
        with self._one_thread, _disk(self.folder):
            lock = FileLock(self.folder / LOCK)
            lock.exclusive()
            try:
                yield
            finally:
                lock.release()

    def _acknowledged(self) -> Mark:
        """How far the log goes. Whoever opens it makes sure first that nothing acknowledged lies behind what the file says."""
        mark = noted_in(self.folder) if self._opened else None
        if mark is not None:
            return mark
        if not self.folder.is_dir():
            return Mark(0, 0, self._after)
        with self._alone():
            mark = self._recovered()
        self._opened = True
        return mark

    def _recovered(self) -> Mark:
        """The end of the last whole frame; to be called alone. Frames that were whole but not noted are forced to the disk and noted."""
        segments, noted = self._segments(), noted_in(self.folder)
        if noted is not None and noted.segment and (not segments or noted.segment > segments[-1]):
            raise BundleError(f"{self._path(noted.segment)} is missing: changes up to {noted.last} were acknowledged. {_REPAIR}")
        if not segments:
            return Mark(0, 0, self._after)
        mark = noted if noted is not None and noted.segment in segments else Mark(segments[0], 0, segments[0] - 1)
        for segment in segments[segments.index(mark.segment) :]:
            if segment != mark.segment:
                mark = self._next(mark, segment)
            mark = self._scanned(mark, final=segment == segments[-1])
        if mark.last < self._after:
            raise BundleError(
                f"{self.folder} ends with change {mark.last}, but a version of this registry contains change {self._after}: "
                f"the log belongs to another registry. {_REPAIR}"
            )
        if mark != noted:
            for segment in segments:
                sync(self._path(segment))
            note(self.folder, mark)
        return mark

    def _scanned(self, mark: Mark, final: bool) -> Mark:
        """The place behind the last whole frame of the mark's segment; ``final``: it may end with one that was not finished."""
        path = self._path(mark.segment)
        size = path.stat().st_size
        if size < mark.end:
            raise BundleError(f"{path} is damaged: it ends at byte {size}, but what stands up to {mark.end} was acknowledged. {_REPAIR}")
        if size == mark.end:
            return mark
        data = path.read_bytes()
        while mark.end < len(data):
            found = frame_at(memoryview(data), mark.end)
            if found is None and final and frame_behind(data, mark.end) is None:
                log.info("%s has an unfinished change at byte %d: it was never acknowledged", path, mark.end)
                return mark
            mark = Mark(mark.segment, *self._followed(found, mark))
        return mark

    def _frames(self, begin: Mark, stop: Mark) -> Iterator[Frame]:
        """Frames between two places."""
        mark = begin
        for segment in (each for each in self._segments() if begin.segment <= each <= stop.segment):
            if segment != mark.segment:
                mark = self._next(mark, segment)
            data, start = self._data(mark, stop), mark.end
            while mark.end - start < len(data):
                found = frame_at(data, mark.end - start)
                end, last = self._followed(found, mark)
                mark = Mark(segment, start + end, last)
                assert found is not None
                yield found
        if mark.last < stop.last:
            raise BundleError(f"{self.folder} has no changes behind {mark.last}, but {stop.last} was acknowledged. {_REPAIR}")

    def _followed(self, found: Frame | None, mark: Mark) -> tuple[int, int]:
        """End and last number of the frame behind a place."""
        if found is None or found.first != mark.last + 1:
            raise BundleError(f"{self._path(mark.segment)} is damaged at byte {mark.end}, behind change {mark.last}. {_REPAIR}")
        return found.end, found.last

    def _next(self, mark: Mark, segment: int) -> Mark:
        if segment != mark.last + 1:
            raise BundleError(f"{self._path(mark.last + 1)} is missing: the next file begins with change {segment}. {_REPAIR}")
        return Mark(segment, 0, mark.last)

    def _place(self, after: int) -> Mark:
        """Where to begin to read: where the last reading ended, or at the segment that holds the next change."""
        segments, ended = self._segments(), self._read_to  # looked at once: other threads read, too
        if ended.last == after and ended.segment in segments:
            return ended
        known = [segment for segment in segments if segment <= after + 1]
        if not known:
            raise BundleError(
                f"{self.folder} begins with change {min(segments, default=0)}: change {after + 1} was pruned when every version "
                "that was kept contained it. Serve a newer version"
            )
        return Mark(known[-1], 0, known[-1] - 1)

    def _begun(self, mark: Mark) -> Mark:
        """A new segment behind a place; what was not finished there is cut off, for only the last segment may end so."""
        if mark.segment:
            os.truncate(self._path(mark.segment), mark.end)
            sync(self._path(mark.segment))
        begun = Mark(mark.last + 1, 0, mark.last)
        self._path(begun.segment).open("xb").close()
        sync(self.folder)
        if not mark.segment:
            sync(self.folder.parent)
        note(self.folder, begun)
        return begun

    def _write(self, mark: Mark, data: bytes, count: int) -> None:
        descriptor = os.open(self._path(mark.segment), os.O_WRONLY)
        try:
            os.ftruncate(descriptor, mark.end)
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, memoryview(data)[written:], mark.end + written)
            os.fsync(descriptor)
            note(self.folder, Mark(mark.segment, mark.end + len(data), mark.last + count))
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, mark.end)
                note(self.folder, mark)
            raise
        finally:
            os.close(descriptor)

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob(f"*{SUFFIX}") if path.stem.isdigit())

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:020d}{SUFFIX}"

    def _data(self, begin: Mark, stop: Mark) -> memoryview:
        """What a segment holds behind a place."""
        try:
            with _disk(self.folder), self._path(begin.segment).open("rb") as file:
                file.seek(begin.end)
                return memoryview(file.read(stop.end - begin.end if begin.segment == stop.segment else -1))
        except FileNotFoundError as error:
            raise BundleError(f"{error.filename} was pruned while it was read: a newer version contains its changes, serve that") from error


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turns what a disk refuses into an error that says what to do."""
    try:
        with disk_errors(folder, "the log of changes", BundleError):
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BundleError(f"{folder} cannot be read or written: {error}. Nothing of the change was kept") from error
