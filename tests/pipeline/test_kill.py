"""Runs that are stopped at some moment and started again: they finish, with the figures of an undisturbed run."""

from __future__ import annotations

import io
import os
import random
import shlex
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from commands import PATIENCE_SECONDS, CommandLine, Done, Process, Undisturbed, figures, quality

from tt_hydra.train.selection import Selection

Command = Callable[..., CommandLine]
InProcess = Callable[..., dict[str, float]]

MOMENTS = {
    "starting": ("..", 5.0),
    "preparing": ("store/prepare/*.partial", 0.1),
    "before the first epoch ends": ("store/train/*.partial", 0.1),
    "the first best weights are written": ("store/train/*.partial/best-0.safetensors", 0.0),
    "in an epoch": ("store/train/*.partial/last.ckpt", 0.3),
    "the weights are in place": ("store/train/*.partial/model.safetensors", 0.0),
    "embedding": ("store/embed/*.partial", 0.02),
    "indexing": ("store/index/*.partial", 0.02),
    "evaluating": ("store/evaluate/*.partial", 0.1),
    "the bundle is written": ("run/*/.bundle.partial", 0.02),
    "the figures are written": ("run/*/report.html", 0.0),
}
"""By name: the path under the outputs whose appearance begins it, and the longest time that is waited then."""


def stop_at(process: Process, moment: str, chance: random.Random, number: int = signal.SIGKILL) -> int:
    pattern, longest = MOMENTS[moment]
    process.wait_for(pattern)
    time.sleep(chance.uniform(0, longest))
    return process.signal(number).status


def test_killed_three_times(command: Command, in_process: InProcess, undisturbed: Undisturbed) -> None:
    line, chance = command(), random.Random(7)
    for moment in ("preparing", "in an epoch", "evaluating"):
        assert stop_at(line.start(), moment, chance) in (-signal.SIGKILL, 0)
    assert quality(in_process(line)) == pytest.approx(undisturbed.quality, abs=1e-6)
    assert not any((line.outputs / "store").rglob("*.partial"))


def test_ctrl_c_in_a_training(
    command: Command, in_process: InProcess, try_in_process: Callable[[CommandLine], Done], undisturbed: Undisturbed
) -> None:
    """The training stands still after its second epoch until the signal is there: it can neither be too early nor too late."""
    line, before, forget = command(), signal.getsignal(signal.SIGINT), Selection._forget_worse

    def interrupted(selection: Selection, trainer: Any) -> None:
        forget(selection, trainer)
        if trainer.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(PATIENCE_SECONDS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "_forget_worse", interrupted)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have made them deaf to it
        try:
            stopped = try_in_process(line)
        finally:
            signal.signal(signal.SIGINT, before)
    assert stopped.status == 130
    assert "Traceback" not in stopped.err
    assert stopped.last_line == f"interrupted; to go on from here: {shlex.join(['python', '-m', 'tt_hydra', *line.overrides])}"
    assert quality(in_process(line)) == pytest.approx(undisturbed.quality, abs=1e-6)


def test_ctrl_c_while_a_checkpoint_is_written(
    command: Command, try_in_process: Callable[[CommandLine], Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native writer then ends with an error of its own, the same as on a full disk."""

    class Interrupted(io.BytesIO):
        def write(self, content: Any) -> int:
            if self.tell() > 1000:
                raise KeyboardInterrupt
            return super().write(content)

    save, before = torch.save, signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(torch, "save", lambda checkpoint, file: save(checkpoint, Interrupted()))
    try:
        stopped = try_in_process(command())
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.status == 130
    assert stopped.last_line.startswith("interrupted; to go on from here: ")
    assert "Traceback" not in stopped.err


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment(command: Command, undisturbed: Undisturbed, moment: str) -> None:
    line, chance = command(), random.Random(moment)
    assert stop_at(line.start(), moment, chance) in (-signal.SIGKILL, 0)
    done = line.finish()
    assert quality(done) == pytest.approx(undisturbed.quality, abs=1e-6)
    assert not any((line.outputs / "store").rglob("*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_at_random_times(command: Command, undisturbed: Undisturbed, seed: int) -> None:
    line, chance = command(), random.Random(seed)
    for _ in range(3):
        process = line.start()
        time.sleep(chance.uniform(0.5, 9.0))
        process.signal(signal.SIGKILL)
    assert quality(line.finish()) == pytest.approx(undisturbed.quality, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting", "preparing", "in an epoch", "evaluating"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(command: Command, undisturbed: Undisturbed, moment: str, number: int, status: int) -> None:
    line, chance = command(), random.Random(moment)
    process = line.start()
    if moment == "starting":
        time.sleep(3.0)
    process.wait_for(MOMENTS[moment][0])
    time.sleep(chance.uniform(0, min(MOMENTS[moment][1], 1.0)))
    stopped = process.signal(number)
    assert stopped.status in (status, -signal.SIGINT), stopped.err  # the latter: Python was in the midst of an import
    assert "Traceback" not in stopped.err
    assert stopped.last_line.startswith("interrupted; to go on from here: python -m tt_hydra data=table ")
    again = shlex.split(stopped.last_line.partition(": ")[2])
    assert line.start(words=[sys.executable, *again[1:]]).end().status == 0
    assert quality(figures(line.outputs / "run" / "latest")) == pytest.approx(undisturbed.quality, abs=1e-6)


@pytest.mark.slow
def test_two_at_the_same_time(command: Command, undisturbed: Undisturbed) -> None:
    line = command()
    ended = [process.end() for process in [line.start(), line.start()]]
    assert [done.status for done in ended] == [0, 0], [done.err for done in ended]
    folders = [path for path in line.outputs.glob("run/*") if not path.is_symlink()]
    assert len(folders) == 2
    found = [figures(folder) for folder in folders]
    for metrics in found:
        assert quality(metrics) == pytest.approx(undisturbed.quality, abs=1e-6)
    assert sorted(metrics["stage/train/reused"] for metrics in found) == [0.0, 1.0]
    assert len(list(line.outputs.glob("store/train/*/training.json"))) == 1


@pytest.mark.slow
def test_one_waits_for_another_that_is_killed(command: Command, undisturbed: Undisturbed) -> None:
    line = command()
    first = line.start()
    first.wait_for("store/train/*.partial/last.ckpt")
    first.popen.send_signal(signal.SIGSTOP)  # it holds the lock for as long as the second needs to come and wait
    second = line.start()
    time.sleep(12.0)
    assert second.popen.poll() is None
    first.signal(signal.SIGKILL)
    done = second.end()
    assert done.status == 0, done.err
    assert "is being built: waiting for process" in done.err
    assert "resuming the training after epoch" in done.err
    assert quality(figures(line.outputs / "run" / "latest")) == pytest.approx(undisturbed.quality, abs=1e-6)
