from __future__ import annotations

import os
import time

import pytest

from tt_hydra.artifact.store import Store
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.store import StoreSettings, clean_up, stored
from tt_hydra.report.listings import entry_table, job_table


@pytest.fixture
def outputs(tmp_path):
    """A store with a training and an index of today, and an index that was last used 40 days ago."""
    with Store(tmp_path / "store") as store:
        for stage, key, size in (("train", "a", 3_000_000), ("index", "b", 10), ("index", "old", 20)):
            with store.stage(stage, key, describe={"title": f"{stage} of {key} [1]"}) as entry:
                (entry.folder / "file").write_bytes(b"x" * size)
    long_ago = time.time() - 40 * 86_400
    for path in [*(tmp_path / "store" / "index" / "old").iterdir(), tmp_path / "store" / "index" / "old"]:
        os.utime(path, (long_ago, long_ago))
    return tmp_path


def test_what_lies_there(outputs):
    assert {(entry.stage, entry.key) for entry in stored(StoreSettings(outputs=outputs))} == {
        ("train", "a"),
        ("index", "b"),
        ("index", "old"),
    }
    assert {entry.key for entry in stored(StoreSettings(outputs=outputs, stage="index"))} == {"b", "old"}
    assert stored(StoreSettings(outputs=outputs / "absent")) == []


def test_only_what_is_old_goes(outputs):
    would = clean_up(StoreSettings(outputs=outputs, clean=True, dry_run=True))
    assert [entry.key for entry in would.removed] == ["old"]
    assert len(stored(StoreSettings(outputs=outputs))) == 3
    assert [entry.key for entry in clean_up(StoreSettings(outputs=outputs, clean=True)).removed] == ["old"]
    assert {entry.key for entry in stored(StoreSettings(outputs=outputs))} == {"a", "b"}


def test_one_stage_whatever_its_age(outputs):
    cleaning = clean_up(StoreSettings(outputs=outputs, clean=True, older_than_days=0, stage="index"))
    assert {entry.key for entry in cleaning.removed} == {"b", "old"}
    assert [entry.key for entry in stored(StoreSettings(outputs=outputs))] == ["a"]


def test_an_age_below_nothing(tmp_path):
    with pytest.raises(ConfigError, match="older_than_days"):
        StoreSettings(outputs=tmp_path, older_than_days=-1)


def printed(table) -> str:
    from rich.console import Console  # noqa: PLC0415

    console = Console(width=160)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_the_list_says_what_each_entry_is(outputs):
    lines = printed(entry_table(stored(StoreSettings(outputs=outputs)))).splitlines()
    assert len(lines) == 4
    assert "train of a [1]" in lines[-1]
    assert "3.0" in lines[-1]
    assert any("40 days ago" in line for line in lines)


def test_jobs_are_told_apart_by_what_differs():
    text = printed(job_table([(["seed=1", "index=flat"], {"search/p50_ms": 0.5}), (["seed=1", "index=[x]"], "no such index")]))
    assert "seed=1" not in text
    assert "index=flat" in text
    assert "0.5" in text
    assert "index=[x]" in text
    assert "refused: no such index" in text
