"""Files that are either whole or absent: durable writes, sizes, checksums, and disk errors that a user can act on."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tt_hydra.errors import TTHydraError, interruption

REMOVED = ".removed-"
"""In the name of a folder that is being removed."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}
_FULL_TEXTS = re.compile(
    "No space left on device|Disk quota exceeded|File too large"
    r"|\d+ requested and \d+ written"  # numpy
    "|write_index.*write error in"  # FAISS
    "|PytorchStreamWriter failed writing|inline_container.*unexpected pos"  # torch
)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file under ``folder`` by its relative POSIX path, sorted."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def write_json(path: Path, value: Any) -> None:
    """Writes readable JSON with a stable order of keys as given."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


@contextmanager
def in_place_of(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` once it is whole; nothing of it stays where that fails."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Writes a file that is the old one or the new one, never half of one."""
    with in_place_of(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
        sync(unfinished)


def sync_tree(folder: Path) -> None:
    """Forces every file and every folder under ``folder``, itself included, to the disk."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(parent) / name)
        sync(Path(parent))


def sync(path: Path) -> None:
    """Forces a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(unfinished: Path, final: Path) -> None:
    """Makes a finished folder visible under its final name, in a way that survives a power cut; an earlier folder gives way.

    Raises:
        OSError: the disk refuses.
    """
    sync_tree(unfinished)
    earlier = _set_aside(final) if final.exists() else None
    unfinished.replace(final)
    sync(final.parent)
    if earlier is not None:
        shutil.rmtree(earlier)


def remove_tree(folder: Path) -> None:
    """Removes a folder so that an interruption cannot leave it half there under its own name."""
    shutil.rmtree(_set_aside(folder))


def _set_aside(folder: Path) -> Path:
    return folder.replace(folder.with_name(f"{folder.name}{REMOVED}{uuid.uuid4().hex[:8]}"))


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name (a hard link, no bytes spent), or copies it where the file system refuses links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def readable(size: float) -> str:
    """A number of bytes for people: ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@contextmanager
def disk_errors(folder: Path, what: str, kind: type[TTHydraError]) -> Iterator[None]:
    """Turns a full disk or a refused permission under ``folder`` into one clear error.

    Libraries that write through native code report a full disk in their own exception types; they are known by their text.

    Raises:
        TTHydraError: of the given ``kind``, naming the path and what to do.
    """
    try:
        yield
    except TTHydraError:
        raise
    except Exception as error:
        if (stop := interruption(error)) is not None:
            raise stop from None
        message = _disk_message(error, folder)
        if message is None:
            raise
        raise kind(f"{what}: {message}") from error


@contextmanager
def path_errors(what: str, kind: type[TTHydraError]) -> Iterator[None]:
    """Turns a path that the system refuses, wherever it lies, into one clear error: for all that a user may have named.

    Raises:
        TTHydraError: of the given ``kind``, naming the path and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None or error.errno not in DENIED | _NO_FOLDER | {errno.EISDIR}:
            raise
        named = os.fsdecode(error.filename2 or error.filename)
        cure = "Give this user the right to it" if error.errno in DENIED else "Move what is in the way"
        raise kind(f"{what}: {named}: {error.strerror}. {cure}, or name another place") from error


def _disk_message(error: Exception, folder: Path) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    named = getattr(error, "filename", None)
    ours = named is None or Path(os.fsdecode(named)).absolute().is_relative_to(folder.absolute())
    if number in _FULL or _FULL_TEXTS.search(str(error)):
        return (
            f"the disk is full or over quota while writing {named or folder} ({error}). Make room (`python -m tt_hydra store` "
            "shows what can go), or set TT_HYDRA_OUTPUTS to a larger disk; the same command then continues"
        )
    if number in DENIED and ours:
        return f"no permission for {named or folder} ({error}). Make it writable, or set TT_HYDRA_OUTPUTS to a folder of yours"
    if number in _NO_FOLDER and ours:
        return f"{named or folder} cannot be a folder ({error}). Move the file that is in its way, or set TT_HYDRA_OUTPUTS elsewhere"
    return None
