from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tt_hydra.artifact.store import Store
from tt_hydra.errors import StoreError

KEY = "k" * 32


def build(store: Store, content: str = "weights", stage: str = "train", key: str = KEY) -> Path:
    with store.stage(stage, key, {"title": "two towers"}) as entry:
        if not entry.done:
            (entry.folder / "sub").mkdir(exist_ok=True)
            (entry.folder / "sub" / "model.bin").write_text(content)
    return entry.folder


def interrupt_after(path: Path, content: str) -> None:
    path.write_text(content)
    raise KeyboardInterrupt


def start(root: Path, body: str, **options: object) -> subprocess.Popen[str]:
    """Runs Python in a process of its own; ``store`` and ``KEY`` are at hand."""
    head = "import os, sys, time, logging\nfrom pathlib import Path\nfrom tt_hydra.artifact.store import Store\n"
    head += f"logging.basicConfig(level='INFO')\nstore, KEY = Store({str(root)!r}), {KEY!r}\n"
    command = [sys.executable, "-c", head + textwrap.dedent(body)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]


def test_a_stage_is_built_once_and_reused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.stage("train", KEY, {"title": "two towers"}) as entry:
        assert not entry.done
        assert not entry.resumed
        assert entry.folder == tmp_path / "train" / f"{KEY}.partial" == store.peek("train", KEY)
        (entry.folder / "model.bin").write_bytes(b"12345")
    assert entry.folder == tmp_path / "train" / KEY == store.peek("train", KEY)
    record = json.loads((entry.folder / "entry.json").read_text())
    assert (record["stage"], record["key"], record["describe"]) == ("train", KEY, {"title": "two towers"})
    assert (record["files"], record["bytes"]) == ({"model.bin": 5}, 5)

    with Store(tmp_path).stage("train", KEY) as again:
        assert again.done
        assert again.reused
        assert (again.folder / "model.bin").read_bytes() == b"12345"
    assert again.cost_seconds == record["seconds"]


def test_reuse_renews_the_last_use(tmp_path: Path) -> None:
    record = build(Store(tmp_path)) / "entry.json"
    os.utime(record, (1, 1))
    build(Store(tmp_path))
    assert record.stat().st_mtime > time.time() - 60


def test_an_exception_leaves_the_folder_to_be_resumed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.stage("train", KEY) as entry:
        interrupt_after(entry.folder / "last.ckpt", "step 7")
    assert not (tmp_path / "train" / KEY).exists()
    with store.stage("train", KEY) as entry:
        assert entry.resumed
        assert not entry.done
        assert (entry.folder / "last.ckpt").read_text() == "step 7"
    assert (tmp_path / "train" / KEY / "last.ckpt").exists()


@pytest.mark.parametrize("harm", ["truncate", "remove_file", "remove_record", "spoil_record"])
def test_a_damaged_entry_is_built_again_with_a_warning(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = build(Store(tmp_path), "good")
    if harm == "truncate":
        (folder / "sub" / "model.bin").write_text("g")
    elif harm == "remove_file":
        (folder / "sub" / "model.bin").unlink()
    elif harm == "remove_record":
        (folder / "entry.json").unlink()
    else:
        (folder / "entry.json").write_text("[]")
    with caplog.at_level(logging.WARNING):
        assert (build(Store(tmp_path), "good") / "sub" / "model.bin").read_text() == "good"
    assert "is damaged" in caplog.text
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == [KEY, f"{KEY}.lock"]


def test_one_store_rebuilds_what_was_damaged_after_it_used_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (build(store) / "sub" / "model.bin").unlink()
    assert (build(store) / "sub" / "model.bin").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "ä"])
def test_names_that_are_no_folder_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="only letters"):
        Store(tmp_path).peek(name, KEY)


WRITER = """
with store.stage("train", KEY) as entry:
    if not entry.done:
        for number in range(400):
            path = entry.folder / f"{number % 40}.bin"
            path.write_bytes(bytes(10_000))
            if number == 0:
                print("writing", flush=True)
print("finished", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_a_kill_leaves_nothing_or_a_whole_entry(tmp_path: Path, delay: float) -> None:
    process = start(tmp_path, WRITER)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    final = tmp_path / "train" / KEY
    with Store(tmp_path).stage("train", KEY) as entry:
        assert entry.done == final.exists()
        assert entry.done or entry.resumed
        if not entry.done:
            for number in range(40):
                (entry.folder / f"{number}.bin").write_bytes(bytes(10_000))
    assert {path.name: path.stat().st_size for path in final.glob("*.bin")} == {f"{number}.bin": 10_000 for number in range(40)}


def test_a_second_run_of_the_same_key_waits_and_reuses(tmp_path: Path) -> None:
    body = """
    with store.stage("train", KEY) as entry:
        if not entry.done:
            (entry.folder / "model.bin").write_text("mine")
            print("building", flush=True)
            time.sleep(1.5)
    print("reused", int(entry.reused), flush=True)
    """
    first = start(tmp_path, body)
    assert first.stdout is not None
    assert first.stdout.readline() == "building\n"
    second = start(tmp_path, body)
    out, log = second.communicate(timeout=60)
    assert out == "reused 1\n"
    assert log.count("waiting for") == 1
    assert f"process {first.pid} on" in log
    assert first.communicate(timeout=60)[0] == "reused 0\n"


def test_a_waiting_run_takes_over_when_the_builder_is_killed(tmp_path: Path) -> None:
    builder = start(
        tmp_path, 'with store.stage("train", KEY) as e:\n    (e.folder / "a").touch()\n    print("in", flush=True)\n    time.sleep(60)'
    )
    assert builder.stdout is not None
    builder.stdout.readline()
    waiter = start(tmp_path, 'with store.stage("train", KEY) as e:\n    print("resumed", int(e.resumed), flush=True)')
    time.sleep(0.3)
    builder.kill()
    builder.communicate()
    assert waiter.communicate(timeout=60)[0] == "resumed 1\n"


def test_a_forked_worker_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    body = """
    with store.stage("train", KEY) as entry:
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            time.sleep(30)
            os._exit(0)
        print(child, flush=True)
        time.sleep(60)
    """
    parent = start(tmp_path, body)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.1)
    parent.kill()
    parent.communicate()
    try:
        began = time.monotonic()
        build(Store(tmp_path))
        assert time.monotonic() - began < 20
    finally:
        os.kill(child, signal.SIGKILL)


WRITERS = {
    "python": "(entry.folder / 'a').write_bytes(bytes(8192))",
    "record": "(entry.folder / 'a').write_bytes(bytes(100))",
    "numpy": "import numpy; numpy.save(entry.folder / 'a.npy', numpy.zeros(9999))",
    "torch": "import torch; torch.save(torch.zeros(9999), entry.folder / 'a')",
    "safetensors": "import torch, safetensors.torch as s; s.save_file({'a': torch.zeros(9999)}, entry.folder / 'a')",
    "parquet": "import polars; polars.DataFrame({'a': [str(n) for n in range(9999)]}).write_parquet(entry.folder / 'a')",
    "faiss": "import faiss, numpy; i = faiss.IndexFlat(8); i.add(numpy.ones((999, 8))); faiss.write_index(i, str(entry.folder / 'a'))",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_clear_error_and_no_entry(tmp_path: Path, writer: str) -> None:
    """A limit on file sizes stands for the full disk: the kernel refuses the write the same way, each library says it its own way."""
    body = f"""
    import resource
    from tt_hydra.errors import StoreError
    try:
        with store.stage("train", KEY, {{"title": "x" * 5000}}) as entry:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            {WRITERS[writer]}
    except StoreError as error:
        print(error)
    """
    out, log = start(tmp_path, body).communicate(timeout=60)
    assert "the disk is full or over quota" in out, log
    assert "TT_HYDRA_OUTPUTS" in out
    assert not (tmp_path / "train" / KEY).exists()
    with Store(tmp_path).stage("train", KEY) as entry:
        assert not entry.done


def test_a_store_below_a_file_is_a_store_error_with_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "train"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"no permission for .*train.*TT_HYDRA_OUTPUTS"), Store(tmp_path).stage("train", KEY):
        pass


def test_a_file_in_the_way_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store").touch()
    with pytest.raises(StoreError, match=r"store.* cannot be a folder"), Store(tmp_path / "store").stage("train", KEY):
        pass


def test_errors_of_the_stage_itself_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Store(tmp_path).stage("train", KEY):
        (tmp_path / "missing").read_text()
    with pytest.raises(PermissionError), Store(tmp_path / "store").stage("train", KEY):
        raise PermissionError(13, "Permission denied", str(tmp_path / "data.csv"))
