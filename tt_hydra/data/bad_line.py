"""Finding the line of a text file that its fast reader refused, or took for another than it is."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

SHOWN = 60
SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}
"""What may separate cells, and its name."""
csv.field_size_limit(1 << 30)


def first_bad_line(path: Path, ending: str) -> str | None:
    """What is wrong with the first bad line of a file, or None if every line can be parsed.

    Args:
        path: the file; unpacked on the way if it ends in ``.gz``.
        ending: ``.csv``, ``.tsv``, ``.jsonl`` or ``.ndjson``; other formats have no lines.
    """
    scan = {".jsonl": _json_line, ".ndjson": _json_line, ".csv": _csv_line, ".tsv": _tsv_line}.get(ending)
    try:
        with open_bytes(path) as stream:
            return scan(stream) if scan else None
    except (OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; gzip's own errors have no number
            return f"cannot be opened: {error.strerror}"
        return f"cannot be unpacked: {error}"


def other_separator(path: Path, separator: str, quoted: bool) -> str | None:
    """What separates the cells of a file whose first line is one cell when it is cut at ``separator``; None where nothing seems to.

    Args:
        path: the file; unpacked on the way if it ends in ``.gz``.
        separator: by which the file is read.
        quoted: whether ``"`` quotes cells.
    """
    with open_bytes(path) as stream:
        rows = csv.reader(_Lines(stream), delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        try:
            first = next(filter(None, rows), [])
        except (UnicodeDecodeError, csv.Error):  # which reading the whole file tells with its line
            return None
    return next((each for each in SEPARATORS if len(first) == 1 and each in first[0]), None)


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a file, unpacked if its name ends in ``.gz``."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _json_line(stream: BinaryIO) -> str | None:
    for number, raw in enumerate(stream, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if line and not isinstance(json.loads(line, parse_constant=_no_constant), dict):
                return f"line {number} is no JSON object: {_shown(line)}"
        except UnicodeDecodeError:
            return _not_utf8(number)
        except ValueError as error:
            return f"line {number} is no valid JSON ({error}): {_shown(line)}"
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed, write null")


def _csv_line(stream: BinaryIO) -> str | None:
    texts = _Lines(stream)
    reader = csv.reader(texts, strict=True)
    width, start = 0, 1
    try:
        for row in reader:
            width = width or len(row)
            if row and len(row) != width:
                return _wrong_width(start, len(row), width)
            start = reader.line_num + 1
    except UnicodeDecodeError:
        return _not_utf8(texts.number)
    except csv.Error as error:
        return f"line {start} cannot be parsed ({error}): is a quote left open?"
    return None


def _tsv_line(stream: BinaryIO) -> str | None:
    texts = _Lines(stream)
    width = 0
    try:
        for line in texts:
            cells = line.rstrip("\r\n").split("\t")
            width = width or len(cells)
            if line.strip() and len(cells) != width:
                return _wrong_width(texts.number, len(cells), width)
    except UnicodeDecodeError:
        return _not_utf8(texts.number)
    return None


class _Lines:
    """Decoded lines, counted from 1 as they are taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for raw in self.stream:
            self.number += 1
            yield raw.decode("utf-8-sig" if self.number == 1 else "utf-8")


def _wrong_width(number: int, got: int, expected: int) -> str:
    return f"line {number} has {got} column(s), the first line has {expected}"


def _not_utf8(number: int) -> str:
    return f"line {number} is not UTF-8 text; convert the file, for example with iconv -f latin1 -t utf-8"


def _shown(line: str) -> str:
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."
