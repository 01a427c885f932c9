from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from tt_hydra.artifact import files
from tt_hydra.artifact.files import disk_errors, link_or_copy, path_errors, publish, readable, sha256, sizes
from tt_hydra.errors import BundleError, ConfigError, StoreError


def test_checksum_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(b"x" * 3_000_000)
    assert sha256(tmp_path / "a" / "b.bin") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert sizes(tmp_path) == {"a/b.bin": 3_000_000}


def test_publishing_replaces_an_earlier_folder(tmp_path: Path) -> None:
    for name in ("new", "final"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)
    publish(tmp_path / "new", tmp_path / "final")
    assert (tmp_path / "final" / "text").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_where_links_are_refused_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_text("text")
    link_or_copy(tmp_path / "source", tmp_path / "sub" / "linked")
    assert (tmp_path / "sub" / "linked").samefile(tmp_path / "source")

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(files.os, "link", refuse)
    link_or_copy(tmp_path / "source", tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "text"
    assert not (tmp_path / "copied").samefile(tmp_path / "source")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/store/a"), "no permission for /store/a"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/store/a"), "/store/a cannot be a folder"),
    ],
)
def test_disk_errors_become_one_clear_error(error: Exception, message: str) -> None:
    with pytest.raises(BundleError, match=f"^writing: {message}"), disk_errors(Path("/store"), "writing", BundleError):
        raise error


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), PermissionError(errno.EACCES, "Permission denied", "/elsewhere"), FileNotFoundError(2, "x"), ConfigError("x")],
)
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors(Path("/store"), "writing", StoreError):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/a"),
            "/a: Permission denied. Give this user the right to it, or name another",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/a"), "/a: Read-only file system. Give this user the right to it, or name another"),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "/a", None, "/b"),
            "/b: Is a directory. Move what is in the way, or name another",
        ),
    ],
)
def test_a_path_that_is_refused_is_named_wherever_it_lies(error: OSError, message: str) -> None:
    with pytest.raises(StoreError, match=f"^serve: {message} place$"), path_errors("serve", StoreError):
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x", "/a"), OSError(errno.EACCES, "x"), ValueError("x")])
def test_errors_that_name_no_refused_path_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, path_errors("serve", StoreError):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**40, "3.0 TiB")])
def test_sizes_for_people(size: int, text: str) -> None:
    assert readable(size) == text


def test_the_error_of_a_library_that_was_interrupted_is_an_interruption() -> None:
    interrupted = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 286 vs 0")
    interrupted.__context__ = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), disk_errors(Path("/store"), "writing", StoreError):
        raise interrupted
