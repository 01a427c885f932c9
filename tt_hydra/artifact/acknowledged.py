"""How far a log of changes was forced to the disk: the file ``acknowledged`` beside its segments."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

ACKNOWLEDGED = "acknowledged"
_MARK = struct.Struct("<QQQ")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a log behind a frame.

    Attributes:
        segment: number that the segment is named by, its first change's; 0 without any.
        end: offset.
        last: number of the last change before it.
    """

    segment: int
    end: int
    last: int


def note(folder: Path, mark: Mark) -> None:
    """Says how far the log is acknowledged. Not forced to the disk: behind a power cut it says too little, and the log is looked at."""
    content = _MARK.pack(mark.segment, mark.end, mark.last)
    descriptor = os.open(folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.pwrite(descriptor, content + _CRC.pack(zlib.crc32(content)), 0)
    finally:
        os.close(descriptor)


def noted_in(folder: Path) -> Mark | None:
    """What `note` wrote last; None where there is nothing, or half of it."""
    try:
        content = (folder / ACKNOWLEDGED).read_bytes()
    except FileNotFoundError:
        return None
    if len(content) != _MARK.size + _CRC.size or zlib.crc32(content[: _MARK.size]) != _CRC.unpack_from(content, _MARK.size)[0]:
        return None
    return Mark(*_MARK.unpack_from(content))
