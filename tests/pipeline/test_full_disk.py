"""A disk that fills up at any stage: one clear error; with room again, the same command goes on."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import CommandLine, Done, Undisturbed, quality

from tt_hydra.process import prepare

Command = Callable[..., CommandLine]
InProcess = Callable[[CommandLine], dict[str, float]]
TryInProcess = Callable[[CommandLine], Done]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many KiB; asked again, it is enlarged."""
    folder = tmp_path / "disk"
    mounted = False

    def resize(size: int) -> Path:
        nonlocal mounted
        folder.mkdir(exist_ok=True)
        options = f"{'remount,' if mounted else ''}size={size}k"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a file system")
        mounted = True
        return folder

    yield resize
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def quiet_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the start of a process sets, and what Hydra leaves: handlers whose files are on the disk."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    before = list(logging.getLogger().handlers)
    yield
    for handler in [each for each in logging.getLogger().handlers if each not in before]:
        handler.close()
        logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(("share", "more"), [(0.0, 4), (0.8, 0), (1.0, 1000)])
def test_a_full_disk_is_one_clear_error(
    command: Command,
    in_process: InProcess,
    try_in_process: TryInProcess,
    disk: Callable[[int], Path],
    undisturbed: Undisturbed,
    share: float,
    more: int,
) -> None:
    """From a disk without room for the run's own folder to one on which the report alone does not fit."""
    size = sum(path.stat().st_size // 4096 * 4 + 4 for path in (undisturbed.line.outputs / "store").rglob("*"))
    line = command(folder=disk(round(share * size) + more))
    refused = try_in_process(line)
    assert refused.status == 2
    assert refused.last_line.startswith("error: ")
    assert "the disk is full or over quota while writing" in refused.last_line or "No space left on device" in refused.last_line
    assert "TT_HYDRA_OUTPUTS" in refused.last_line
    assert "Traceback" not in refused.err
    assert "Logging error" not in refused.err
    disk(100_000)
    assert quality(in_process(line)) == pytest.approx(undisturbed.quality, abs=1e-6)


def test_outputs_that_may_not_be_written_are_one_clear_error(command: Command, try_in_process: TryInProcess, tmp_path: Path) -> None:
    line = command(folder=tmp_path / "work")
    line.folder.mkdir()
    line.outputs.write_text("a file")
    refused = try_in_process(line)
    assert refused.status == 2
    assert refused.err.startswith("error: the folder of the run cannot be made")
    assert os.listdir(line.folder) == ["outputs"]


def test_the_log_of_a_process_does_not_complain_of_a_full_disk() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.signal", lambda *_: None)
        patch.setattr(logging, "raiseExceptions", True)
        for name in ("OMP_WAIT_POLICY", "TORCH_CPP_LOG_LEVEL"):
            patch.setenv(name, os.environ.get(name, ""))
        prepare()
        assert logging.raiseExceptions is False
