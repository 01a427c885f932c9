from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tt_hydra.artifact import changes as module
from tt_hydra.artifact.acknowledged import ACKNOWLEDGED
from tt_hydra.artifact.changes import Change, ChangeLog
from tt_hydra.errors import BundleError, DataError


def items(*names: str, **more: object) -> Change:
    return Change(items=[{"id": name, "title": f"title of {name}"} for name in names], **more)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.log"))


def seen(log: ChangeLog, after: int = 0) -> list[tuple[int, list[str]]]:
    return [(change.seq, [item["id"] for item in change.items]) for change in log.read(after)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few changes."""
    monkeypatch.setattr(module, "SEGMENT", 300)


def test_changes_come_back_whole_and_in_order(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "changes")
    vectors = np.array([[1, 2, 3], [0.5, -1e-30, 1e30]], np.float32)
    written = log.append([items("a", "b", vectors=vectors, model="m1", time=12.5), Change(deleted=["a", "x"])])
    assert [change.seq for change in written] == [1, 2]
    assert log.append([items("c")])[0].seq == 3
    for reader in (log, ChangeLog(tmp_path / "changes")):
        first, second, third = reader.read(0)
        assert [change.seq for change in (first, second, third)] == [1, 2, 3]
        assert first.items == [{"id": "a", "title": "title of a"}, {"id": "b", "title": "title of b"}]
        assert (first.model, first.time, first.deleted) == ("m1", 12.5, [])
        np.testing.assert_array_equal(first.vectors, vectors)
        assert first.vectors is not None
        assert first.vectors.dtype == np.float32
        assert (second.items, second.deleted, second.vectors, second.model) == ([], ["a", "x"], None, None)
        assert abs(third.time - time.time()) < 100
        assert seen(reader, 2) == [(3, ["c"])]
        assert reader.read(3) == reader.read(99) == []
        assert reader.last == 3


def test_a_log_that_was_never_written_is_empty_and_makes_no_folder(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "changes")
    assert (log.last, log.read(0), log.append([])) == (0, [], [])
    log.prune(7)
    assert list(tmp_path.iterdir()) == []


def test_values_are_kept_as_json_has_them(tmp_path: Path) -> None:
    row = {
        "id": np.int64(7),
        "day": date(2026, 1, 2),
        "at": datetime(2026, 1, 2, 3, 4, 5),
        "price": Decimal("1.5"),
        "share": np.float32(0.25),
        "tags": ("a", "b"),
        "more": {"x": np.array([1, 2])},
        "none": None,
        "yes": np.bool_(True),
        "odd": "\ud800 \x00 é",
    }
    plain = {
        "id": 7,
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05",
        "price": 1.5,
        "share": 0.25,
        "tags": ["a", "b"],
        "more": {"x": [1, 2]},
        "none": None,
        "yes": True,
        "odd": "\ud800 \x00 é",
    }
    log = ChangeLog(tmp_path)
    (written,) = log.append([Change(items=[row], deleted=[3])])  # type: ignore[list-item]
    assert list(written.items) == [plain] == list(log.read(0)[0].items)
    assert written.deleted == ["3"]
    json.dumps(written.items)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(items=[{"id": "a", "cover": b"\x89PNG"}]), "column 'cover' holds a bytes"),
        (Change(items=[{"id": "a"}], vectors=np.zeros((2, 3), np.float32), model="m"), "one row for each item"),
        (Change(items=[{"id": "a"}], vectors=np.zeros((1, 3), np.float32)), "of model None"),
        (Change(items=[{"id": "a"}], vectors=np.full((1, 3), np.nan), model="m"), "NaN"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(change: Change, message: str, tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "changes")
    with pytest.raises(DataError, match=message):
        log.append([items("b"), change])
    assert not (tmp_path / "changes").exists()


def test_readers_follow_each_other_process(tmp_path: Path, small: None) -> None:
    one, other = ChangeLog(tmp_path), ChangeLog(tmp_path)
    at = 0
    for step in range(1, 30):
        (one if step % 3 else other).append([items(f"i{step}")])
        reader = other if step % 2 else one
        assert seen(reader, step - 1) == [(step, [f"i{step}"])]
        if step % 5 == 0:
            assert [seq for seq, _ in seen(other, at)] == list(range(at + 1, step + 1))
            at = step
    assert len(segments(tmp_path)) > 3


@pytest.mark.parametrize("noted", [True, False])
def test_a_torn_tail_is_passed_over_and_then_cut(tmp_path: Path, noted: bool) -> None:
    """Whatever length of the last, unacknowledged frame reached the disk."""
    ChangeLog(tmp_path / "one").append([items("a"), items("b")])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    ChangeLog(tmp_path / "two").append([items("c")])
    whole, longer = (segments(tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    for cut in {*range(len(whole), len(longer), 9), len(longer) - 1}:
        for filling in (b"", b"\x00" * 50):
            folder = shutil.copytree(tmp_path / "one", tmp_path / f"{cut}{len(filling)}")
            segments(folder)[0].write_bytes(longer[:cut] + filling)
            if not noted:
                (folder / ACKNOWLEDGED).unlink()
            reader = ChangeLog(folder)
            assert seen(reader) == [(1, ["a"]), (2, ["b"])]
            assert ChangeLog(folder).append([items("d")])[0].seq == 3
            assert seen(reader, 2) == [(3, ["d"])]
            assert seen(ChangeLog(folder)) == [(1, ["a"]), (2, ["b"]), (3, ["d"])]
            shutil.rmtree(folder)


def test_a_whole_frame_that_was_not_noted_is_taken_in(tmp_path: Path) -> None:
    """A power cut may lose what says how far the log goes, but not what was forced to the disk."""
    log = ChangeLog(tmp_path)
    log.append([items("a")])
    early = (tmp_path / ACKNOWLEDGED).read_bytes()
    log.append([items("b")])
    log.append([items("c")])
    for content in (early, b"", early[:-1] + b"?", b"x" * 500):
        (tmp_path / ACKNOWLEDGED).write_bytes(content)
        assert seen(ChangeLog(tmp_path)) == [(1, ["a"]), (2, ["b"]), (3, ["c"])]
    (tmp_path / ACKNOWLEDGED).unlink()
    assert ChangeLog(tmp_path).append([items("d")])[0].seq == 4


@pytest.mark.parametrize("noted", [True, False])
def test_damage_in_the_middle_is_an_error_that_names_the_place(tmp_path: Path, noted: bool, small: None) -> None:
    log, ends = ChangeLog(tmp_path), []
    for step in range(6):
        log.append([items(f"i{step}")])
        ends.append((len(segments(tmp_path)), segments(tmp_path)[-1].stat().st_size))
    if not noted:
        (tmp_path / ACKNOWLEDGED).unlink()
    first = segments(tmp_path)[0]
    whole = first.read_bytes()
    frames = [0, *(size for number, size in ends if number == 1)]
    assert len(frames) > 2
    for place in range(0, len(whole), 7):
        first.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        begin = max(frame for frame in frames if frame <= place)
        for use in (lambda: ChangeLog(tmp_path).read(0), lambda: noted or ChangeLog(tmp_path).append([items("x")])):
            if not noted or use.__code__.co_names[-1] != "items":
                with pytest.raises(BundleError, match=rf"{first.name} is damaged at byte {begin}\b"):
                    use()
    first.write_bytes(whole)
    assert len(ChangeLog(tmp_path).read(0)) == 6


def test_a_flipped_bit_in_the_last_acknowledged_change_is_no_torn_tail(tmp_path: Path) -> None:
    ChangeLog(tmp_path).append([items("a")])
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="is damaged at byte 0"):
        ChangeLog(tmp_path).read(0)


def test_an_acknowledged_end_that_is_gone_is_damage(tmp_path: Path, small: None) -> None:
    log = ChangeLog(tmp_path)
    for step in range(6):
        log.append([items(f"i{step}")])
    *_, last = segments(tmp_path)
    whole = last.read_bytes()
    last.write_bytes(whole[:-1])
    for use in (lambda: ChangeLog(tmp_path).read(0), lambda: log.append([items("x")])):
        with pytest.raises(BundleError, match=rf"{last.name} is damaged: it ends at byte {len(whole) - 1}"):
            use()
    last.unlink()
    with pytest.raises(BundleError, match=rf"{last.name} is missing: changes up to 6 were acknowledged"):
        ChangeLog(tmp_path).last  # noqa: B018


def test_a_file_that_is_missing_in_the_middle_is_named(tmp_path: Path, small: None) -> None:
    log = ChangeLog(tmp_path)
    for step in range(12):
        log.append([items(f"i{step}")])
    middle = segments(tmp_path)[1]
    middle.unlink()
    with pytest.raises(BundleError, match=rf"{middle.name} is missing"):
        ChangeLog(tmp_path).read(0)


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_leaves_the_log_as_it_was(call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ChangeLog(tmp_path)
    log.append([items("a")])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, calls = getattr(os, call), []

    def refuse(descriptor: int, *rest: object) -> int:
        calls.append(descriptor)
        if call == "pwrite" and len(calls) == 1:
            return real(descriptor, bytes(rest[0])[:10], rest[1])  # ten bytes still fit
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, call, refuse)
        with pytest.raises(BundleError, match="disk is full" if number == errno.ENOSPC else "cannot be read or written"):
            log.append([items("b")])
    assert calls
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert log.append([items("c")])[0].seq == 2
    assert seen(ChangeLog(tmp_path)) == [(1, ["a"]), (2, ["c"])]


def test_what_the_disk_does_not_even_take_back_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame is whole in the file, but it was refused: only a later opening may take it in, and nobody saw its number before."""
    log, reader = ChangeLog(tmp_path), ChangeLog(tmp_path)
    log.append([items("a")])
    assert reader.last == 1

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", refuse)
        truncate = os.ftruncate
        patch.setattr(module.os, "ftruncate", lambda descriptor, size: truncate(descriptor, size) if not refused else refuse())
        refused: list[int] = []
        patch.setattr(module.os, "fsync", lambda descriptor: (refused.append(descriptor), refuse()))
        with pytest.raises(BundleError):
            log.append([items("b")])
    assert seen(reader) == [(1, ["a"])]
    seqs = [seq for seq, _ in seen(ChangeLog(tmp_path))]
    assert seqs in ([1], [1, 2])
    assert log.append([items("c")])[0].seq == len(seqs) + 1
    assert [seq for seq, _ in seen(reader)] == [*seqs, len(seqs) + 1]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "changes").write_text("a file")
    with pytest.raises(BundleError, match="cannot be a folder"):
        ChangeLog(tmp_path / "changes").append([items("a")])


def test_pruning_removes_files_whose_changes_are_all_old(tmp_path: Path, small: None) -> None:
    log = ChangeLog(tmp_path)
    for step in range(1, 21):
        log.append([items(f"i{step}")])
    reader = ChangeLog(tmp_path)
    reader.read(0)
    firsts = [int(path.stem) for path in segments(tmp_path)]
    log.prune(firsts[2] - 2)
    assert [int(path.stem) for path in segments(tmp_path)] == firsts[1:]
    log.prune(firsts[2] - 1)
    assert [int(path.stem) for path in segments(tmp_path)] == firsts[2:]
    assert [seq for seq, _ in seen(ChangeLog(tmp_path), firsts[2] - 1)] == list(range(firsts[2], 21))
    with pytest.raises(BundleError, match=rf"begins with change {firsts[2]}: change 1 was pruned"):
        ChangeLog(tmp_path).read(0)
    log.prune(20)
    assert sum(path.stat().st_size for path in segments(tmp_path)) == 0
    for each in (log, reader, ChangeLog(tmp_path)):
        assert (each.last, each.read(20)) == (20, [])
    log.prune(20)
    assert log.append([items("new")])[0].seq == 21
    for each in (log, reader, ChangeLog(tmp_path)):
        assert seen(each, 20) == [(21, ["new"])]
    (tmp_path / ACKNOWLEDGED).unlink()
    assert ChangeLog(tmp_path).last == 21


@pytest.mark.parametrize("noted", [True, False])
def test_pruning_that_is_killed_behind_a_torn_tail_leaves_a_log(tmp_path: Path, noted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer was killed within a change; pruning is killed when it has begun a file, before it removed one, or before it noted that."""
    ChangeLog(tmp_path).append([items("a"), items("b")])
    with segments(tmp_path)[0].open("ab") as file:
        file.write(b"half of a change")
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "unlink") if noted else (module, "note")), lambda *_: (_ for _ in ()).throw(InterruptedError))
        with pytest.raises((InterruptedError, BundleError)):
            ChangeLog(tmp_path).prune(2)
    assert len(segments(tmp_path)) == 2
    log = ChangeLog(tmp_path)
    assert seen(log) == [(1, ["a"]), (2, ["b"])]
    assert log.append([items("c")])[0].seq == 3
    assert seen(ChangeLog(tmp_path)) == [(1, ["a"]), (2, ["b"]), (3, ["c"])]


def test_what_another_thread_reads_meanwhile_leaves_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread reads on from change 1; another one reads all while the first looks at where it had ended."""
    log = ChangeLog(tmp_path)
    log.append([items("a")])
    assert seen(log) == [(1, ["a"])]
    log.append([items("b")])

    class Slow(list):  # type: ignore[type-arg]
        def __contains__(self, segment: object) -> bool:
            monkeypatch.undo()
            assert seen(log) == [(1, ["a"]), (2, ["b"])]
            return super().__contains__(segment)

    found = Slow(log._segments())
    monkeypatch.setattr(log, "_segments", lambda: found)
    assert seen(log, 1) == [(2, ["b"])]


def test_numbers_go_on_behind_what_a_version_contains(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "new", after=41)
    assert (log.last, log.read(41)) == (41, [])
    assert log.append([items("a")])[0].seq == 42
    assert seen(ChangeLog(tmp_path / "new"), 41) == [(42, ["a"])]
    ChangeLog(tmp_path / "old").append([items("a")])
    with pytest.raises(BundleError, match="ends with change 1, but a version of this registry contains change 41"):
        ChangeLog(tmp_path / "old", after=41).read(41)


def test_threads_append_to_one_log(tmp_path: Path, small: None) -> None:
    log, given = ChangeLog(tmp_path), {}

    def write(name: str) -> None:
        for step in range(20):
            (change,) = log.append([items(f"{name}{step}")])
            given[change.seq] = f"{name}{step}"

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert seen(ChangeLog(tmp_path)) == [(seq, [given[seq]]) for seq in range(1, 81)]


WRITER = """
import sys
from pathlib import Path
from tt_hydra.artifact import changes
changes.SEGMENT = 4000
log, name, step = changes.ChangeLog(Path(sys.argv[1])), sys.argv[2], 0
while step < int(sys.argv[3]):
    group = [changes.Change(items=[{"id": f"{name}-{step + n}"}], deleted=["x" * (step % 97)]) for n in range(1 + step % 3)]
    for change in log.append(group):
        sys.stdout.write(f"{change.seq} {change.items[0]['id']}\\n")
    sys.stdout.flush()
    step += len(group)
"""


def start_writer(folder: Path, name: str, steps: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name, str(steps)], stdout=subprocess.PIPE, text=True)


def acknowledged(output: str) -> dict[int, str]:
    lines = (line.split(" ") for line in output.split("\n")[:-1])
    return {int(seq): name for seq, name in lines}


def contents(folder: Path) -> dict[int, str]:
    read = [(change.seq, change.items[0]["id"]) for change in ChangeLog(folder).read(0)]
    assert [seq for seq, _ in read] == list(range(1, len(read) + 1))
    assert len({name for _, name in read}) == len(read)
    return dict(read)


def test_processes_append_to_one_log(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path, name, 100) for name in "abc"]
    given: dict[int, str] = {}
    for writer in writers:
        given |= acknowledged(writer.communicate(timeout=60)[0])
    assert contents(tmp_path) == given
    for name in "abc":
        order = [int(each.split("-")[1]) for _, each in sorted(given.items()) if each.startswith(name)]
        assert order == sorted(order)
        assert len(order) >= 100


def killed(folder: Path, rounds: int, seed: int) -> None:
    """Two writers at a time, killed at random moments; what they had acknowledged is all there, and hardly anything else."""
    chance, given = random.Random(seed), {}
    for number in range(rounds):
        writers = [start_writer(folder, f"{number}{name}", 10**9) for name in "ab"]
        outputs = [""] * len(writers)
        for place, writer in enumerate(writers):  # the first acknowledged change says that it is at work
            assert writer.stdout is not None
            outputs[place] = writer.stdout.readline()
        time.sleep(chance.random() / 20)
        for writer in chance.sample(writers, 2):
            os.kill(writer.pid, signal.SIGKILL)
        for place, writer in enumerate(writers):
            given |= acknowledged(outputs[place] + writer.communicate()[0])
        found = contents(folder)
        assert given.items() <= found.items()
        assert len(found) - len(given) <= 6 * (number + 1), "at most one group of three of each writer was not acknowledged"
        given = found


def test_nothing_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    killed(tmp_path, 4, 0)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_many_kills(tmp_path: Path) -> None:
    killed(tmp_path, 100, 1)


def _hold(folder: Path, ready: object) -> None:
    with ChangeLog(folder)._alone():
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_killed_holder_of_the_lock_blocks_nobody(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    assert ChangeLog(tmp_path).append([items("a")])[0].seq == 1
    process.join()
