from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tt_hydra.artifact.inventory import clean, entries
from tt_hydra.artifact.store import Store

DAY = 86_400


def fill(root: Path, stage: str, key: str, size: int = 100, days_ago: float = 0.0, title: str = "") -> Path:
    with Store(root) as store, store.stage(stage, key, {"title": title}) as entry:
        (entry.folder / "data.bin").write_bytes(bytes(size))
    moment = time.time() - days_ago * DAY
    for path in (entry.folder, *entry.folder.iterdir()):
        os.utime(path, (moment, moment))
    return entry.folder


def interrupt(root: Path, key: str) -> None:
    with pytest.raises(KeyboardInterrupt), Store(root).stage("train", key) as entry:
        leave_something(entry.folder)


def leave_something(folder: Path) -> None:
    (folder / "last.ckpt").write_bytes(bytes(7))
    raise KeyboardInterrupt


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert entries(tmp_path / "store") == []
    assert clean(tmp_path / "store", dry_run=False).removed == ()


def test_entries_say_what_they_are(tmp_path: Path) -> None:
    old = fill(tmp_path, "index", "old", days_ago=3, title="hnsw + int8")
    fill(tmp_path, "index", "new", size=1000, title="flat")
    (fill(tmp_path, "embed", "bad") / "data.bin").write_bytes(b"")
    interrupt(tmp_path, "half")
    found = entries(tmp_path)
    assert [(entry.stage, entry.key, entry.state) for entry in found] == [
        ("embed", "bad", "damaged"),
        ("index", "new", "finished"),
        ("index", "old", "finished"),
        ("train", "half", "unfinished"),
    ]
    assert found[2].title == "hnsw + int8"
    assert found[2].bytes == sum(path.stat().st_size for path in old.iterdir())
    assert found[2].last_used == pytest.approx(time.time() - 3 * DAY, abs=60)
    assert found[3].bytes == 7
    assert not any(entry.in_use for entry in found)


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    folder = fill(tmp_path, "index", "one")
    cleaning = clean(tmp_path)
    assert cleaning.dry_run
    assert [entry.key for entry in cleaning.removed] == ["one"]
    assert cleaning.bytes > 100
    assert folder.exists()


def test_cleaning_takes_what_was_asked_and_no_more(tmp_path: Path) -> None:
    fill(tmp_path, "index", "old", days_ago=40)
    fill(tmp_path, "index", "kept", days_ago=40)
    fill(tmp_path, "index", "new")
    fill(tmp_path, "train", "model", days_ago=40)
    removed = clean(tmp_path, older_than_days=30, stages=["index"], keep_keys=["kept"], dry_run=False).removed
    assert [entry.key for entry in removed] == ["old"]
    assert [entry.key for entry in entries(tmp_path)] == ["new", "kept", "model"]
    assert not (tmp_path / "index" / "old.lock").exists()


def test_everything_goes_without_conditions(tmp_path: Path) -> None:
    fill(tmp_path, "index", "one")
    interrupt(tmp_path, "half")
    (tmp_path / "index" / "gone.removed-12345678").mkdir()
    assert len(clean(tmp_path, dry_run=False).removed) == 3
    assert entries(tmp_path) == []


def test_what_a_run_uses_stays(tmp_path: Path) -> None:
    fill(tmp_path, "prepare", "read")
    store = Store(tmp_path)
    with store.stage("prepare", "read"):
        pass
    with store.stage("train", "written") as entry:
        (entry.folder / "a").touch()
        cleaning = clean(tmp_path, dry_run=False)
        assert cleaning.removed == ()
        assert {each.key for each in cleaning.in_use} == {"read", "written"}
        assert f"process {os.getpid()}" in next(each.title for each in cleaning.in_use if each.key == "written")
    assert {each.key for each in clean(tmp_path, dry_run=False).in_use} == {"read", "written"}
    store.close()
    assert {each.key for each in clean(tmp_path, dry_run=False).removed} == {"read", "written"}


def test_a_cleaned_entry_is_built_again(tmp_path: Path) -> None:
    fill(tmp_path, "index", "one")
    clean(tmp_path, dry_run=False)
    with Store(tmp_path).stage("index", "one") as entry:
        assert not entry.done
        assert not entry.resumed
