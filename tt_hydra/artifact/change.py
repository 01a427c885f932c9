"""One change of a catalogue, and the frames in which a log keeps changes."""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from tt_hydra.errors import DataError

MAGIC = b"\xf5ttc"
_HEAD = struct.Struct("<4sIQIQ")
"""Magic, CRC-32 of all that follows it, number of the first change, how many there are, bytes of the body."""
_SIZES = struct.Struct("<IQ")
"""Bytes of a change's JSON and of its vectors."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Change:
    """Items that were given anew or again, and items that were taken away; the latter happens first.

    Attributes:
        seq: its number, from 1; 0 until a log has given it one.
        items: raw columns of the items.
        deleted: ids.
        vectors: ``(items, dim)`` float32, by the model named beside them; None where they were not embedded.
        model: fingerprint of the model whose item tower made the vectors.
        time: seconds since 1970.
    """

    seq: int = 0
    items: Sequence[Mapping[str, Any]] = ()
    deleted: Sequence[str] = ()
    vectors: npt.NDArray[np.float32] | None = None
    model: str | None = None
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Frame:
    """Changes that were written together.

    Attributes:
        first: number of the first.
        count: how many.
        end: offset behind the frame.
        body: what was packed.
    """

    first: int
    count: int
    end: int
    body: memoryview

    @property
    def last(self) -> int:
        """Number of the last change."""
        return self.first + self.count - 1

    def changes(self) -> Iterator[Change]:
        """The changes, in order."""
        place = 0
        for seq in range(self.first, self.first + self.count):
            size, of_vectors = _SIZES.unpack_from(self.body, place)
            place += _SIZES.size
            content = json.loads(bytes(self.body[place : place + size]))
            shape = content.pop("shape")
            raw = self.body[place + size : place + size + of_vectors]
            vectors = None if shape is None else np.frombuffer(raw, "<f4").reshape(shape)
            yield Change(seq=seq, vectors=vectors, **content)
            place += size + of_vectors


def normal(change: Change) -> Change:
    """The change as it will be read again: values as JSON has them, vectors as float32.

    Raises:
        DataError: a value has no place in JSON, or the vectors are not one finite row for each item with the name of their model.
    """
    return replace(
        change,
        items=[{str(name): _plain(value, str(name)) for name, value in item.items()} for item in change.items],
        deleted=[str(identifier) for identifier in change.deleted],
        vectors=_checked(change),
    )


def pack(changes: Sequence[Change]) -> bytes:
    """The body of a frame."""
    pieces: list[bytes] = []
    for change in changes:
        vectors = change.vectors
        content = {
            "items": change.items,
            "deleted": change.deleted,
            "model": change.model,
            "time": change.time,
            "shape": None if vectors is None else vectors.shape,
        }
        text = json.dumps(content, separators=(",", ":")).encode()
        raw = b"" if vectors is None else vectors.astype("<f4").tobytes()
        pieces += [_SIZES.pack(len(text), len(raw)), text, raw]
    return b"".join(pieces)


def frame(first: int, count: int, body: bytes) -> bytes:
    """A frame around a body."""
    rest = _HEAD.pack(MAGIC, 0, first, count, len(body))[8:] + body
    return MAGIC + struct.pack("<I", zlib.crc32(rest)) + rest


def frame_at(data: memoryview, offset: int) -> Frame | None:
    """The frame that begins at ``offset``; None where there is no whole one."""
    if len(data) - offset < _HEAD.size:
        return None
    magic, crc, first, count, size = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + size
    if magic != MAGIC or end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
        return None
    return Frame(first, count, end, data[offset + _HEAD.size : end])


def frame_behind(data: bytes, offset: int) -> int | None:
    """Where the first whole frame behind ``offset`` begins; None without one."""
    place = data.find(MAGIC, offset + 1)
    while place >= 0:
        if frame_at(memoryview(data), place) is not None:
            return place
        place = data.find(MAGIC, place + 1)
    return None


def _plain(value: Any, name: str) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value.item() if isinstance(value, np.generic) else value
        case np.generic():
            return _plain(value.item(), name)
        case datetime() | date() | clock_time():
            return value.isoformat()
        case Decimal():
            return float(value)
        case Mapping():
            return {str(key): _plain(each, name) for key, each in value.items()}
        case list() | tuple() | set() | frozenset() | np.ndarray():
            return [_plain(each, name) for each in value]
    raise DataError(f"column {name!r} holds a {type(value).__name__}: give text, a number, true or false, a date or a list of these")


def _checked(change: Change) -> npt.NDArray[np.float32] | None:
    if change.vectors is None:
        return None
    vectors = np.ascontiguousarray(change.vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != len(change.items) or change.model is None:
        raise DataError(f"vectors of shape {vectors.shape} for {len(change.items)} items of model {change.model}: one row for each item")
    if not np.isfinite(vectors).all():
        raise DataError("vectors hold NaN or infinity: embed the items again")
    return vectors
