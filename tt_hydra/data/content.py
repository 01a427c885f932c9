"""Fingerprints of a source: a hash of what its files hold and of what is asked of them, wherever the files lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tt_hydra.component import spec_of

CHUNK = 1 << 20
BY_COLUMN = ("features", "context")
"""Arguments whose keys are names of columns, of which one may be called ``path``."""


def hash_stream(stream: BinaryIO) -> str:
    """SHA-256 of what is left in a binary stream, read in chunks."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hash_stream(stream)


def fingerprint(component: object, contents: Iterable[tuple[str, str]]) -> str:
    """Fingerprint of a source.

    Args:
        component: the source; its arguments enter, except where its files lie: every key ``path`` that is no column's name.
        contents: pairs (role of a file, hash of its content), in an order of their own.
    """
    return hash_plain({"arguments": _without_paths(spec_of(component)), "contents": [list(pair) for pair in contents]})


def hash_plain(value: Any) -> str:
    """SHA-256 of a value made of mappings, sequences, strings and numbers."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: item if key in BY_COLUMN else _without_paths(item) for key, item in value.items() if key != "path"}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return value
