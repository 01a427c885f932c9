"""Training in several processes: real commands, whose further ranks Lightning starts by running the command line again."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import CommandLine, Done, Process, ends_soon, figures, quality
from toy_table import write_pairs

Command = Callable[..., CommandLine]
InProcess = Callable[[CommandLine], dict[str, float]]
TWO = ("train.devices=2", "train.strategy=ddp")
"""The same batches as one process has, if no mask is drawn at random."""


def run_folders(line: CommandLine) -> list[Path]:
    return [path for path in line.outputs.glob("run/*") if not path.is_symlink()]


def in_training(process: Process) -> int:
    """Waits until both ranks train; the process id of the second."""
    assert process.wait_for("store/train/*.partial/last.ckpt")
    (follower,) = process.children()
    return follower


def test_two_processes_give_the_figures_of_one(command: Command, in_process: InProcess) -> None:
    line = command("tower.dropout=0")
    expected = quality(in_process(line))
    together = line.run(*TWO)
    assert together.status == 0, together.err
    found = figures(line.outputs / "run" / "latest")
    assert found["stage/train/reused"] == 0.0, "another number of devices is another training"
    assert quality(found) == pytest.approx(expected, abs=1e-4)
    assert len(run_folders(line)) == 2, "one of each run"
    one, two = ({path.name for path in folder.iterdir()} for folder in run_folders(line))
    assert one == two, "the second rank leaves nothing there"
    assert together.err.count("training on 288 pairs: effective batch 96 over 2 device(s)") == 1
    assert together.err.count(" epoch 5: ") == 1
    assert "Traceback" not in together.err
    assert "\x1b" not in together.out + together.err, "no bar and no colours where there is no terminal"


@pytest.mark.parametrize(
    "negatives",
    [
        ("negatives=uniform", "negatives.num_negatives=20", "data.statistics=[count]"),
        ("negatives=mined", "negatives.start=0"),
    ],
    ids=["drawn at the times of all", "mined"],
)
@pytest.mark.slow
def test_two_processes_draw_the_negatives_of_one(command: Command, in_process: InProcess, negatives: tuple[str, ...]) -> None:
    line = command("tower.dropout=0", "train.max_epochs=2", *negatives)
    expected = quality(in_process(line))
    together = line.run(*TWO)
    assert together.status == 0, together.err
    assert quality(figures(line.outputs / "run" / "latest")) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_two_processes_that_update_rows_give_the_figures_of_one(command: Command, in_process: InProcess) -> None:
    line = command("tower.dropout=0", "optimizer.sparse=true", "train.max_epochs=2")
    expected = quality(in_process(line))
    together = line.run(*TWO)
    assert together.status == 0, together.err
    assert quality(figures(line.outputs / "run" / "latest")) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_two_nodes_give_the_figures_of_one_process(command: Command, in_process: InProcess) -> None:
    """Two torchruns on loopback; 70 does not divide 288 pairs, so that the shares of a batch are uneven."""
    line = command("tower.dropout=0", "train.batch_size=70")
    expected = quality(in_process(line))
    done = on_two_nodes(line, "train.devices=1")
    assert [each.status for each in done] == [0, 0], done[0].err + done[1].err
    found = figures(line.outputs / "run" / "latest")
    assert found["stage/train/reused"] == 0.0, "another number of nodes is another training"
    assert quality(found) == pytest.approx(expected, abs=1e-4)
    assert len(run_folders(line)) == 2, "one of each run"
    one, two = ({path.name for path in folder.iterdir()} for folder in run_folders(line))
    assert one == two
    assert "over 2 device(s)" in done[0].err
    assert "epoch" not in done[1].err, "the second node is quiet"
    again = on_two_nodes(line, "train.num_nodes=2")
    assert [each.status for each in again] == [0, 0], again[0].err + again[1].err
    assert figures(line.outputs / "run" / "latest")["stage/train/reused"] == 1.0
    refused = on_two_nodes(line, "train.devices=2")
    assert "torchrun started 1 process(es) on this node: set train.devices=1" in refused[0].err


def on_two_nodes(line: CommandLine, *more: str) -> list[Done]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meet = ["--master-addr", "127.0.0.1", "--master-port", str(probe.getsockname()[1])]
    words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *meet]
    started = [line.start(words=[*words, "--node-rank", rank, "-m", "tt_hydra", *line.overrides, *more]) for rank in ("0", "1")]
    return [process.end() for process in started]


@pytest.mark.slow
@pytest.mark.parametrize("negatives", ["uniform", "popularity", "catalogue", "given"])
def test_two_processes_give_the_figures_of_one_with_drawn_negatives(
    command: Command, in_process: InProcess, tmp_path: Path, negatives: str
) -> None:
    data = write_pairs(tmp_path) if negatives == "given" else None
    drawn = ["negatives.num_negatives=20"] if negatives in ("uniform", "popularity") else []
    line = command("tower.dropout=0", f"negatives={negatives}", "temperature=learned", *drawn, data=data)
    assert quality(line.finish(*TWO)) == pytest.approx(quality(in_process(line)), abs=1e-4)


@pytest.mark.slow
def test_a_grid_of_jobs_in_two_processes_each(command: Command, in_process: InProcess) -> None:
    line = command("tower.dropout=0")
    done = line.run("--multirun", *TWO, "embedding_dim=8,4")
    assert done.status == 0, done.err
    (sweep,) = line.outputs.glob("sweep/*")
    found = [json.loads((sweep / job / "metrics.json").read_text()) for job in ("0", "1")]
    assert quality(found[0]) == pytest.approx(quality(in_process(line)), abs=1e-4)
    assert quality(found[0]) != pytest.approx(quality(found[1]), abs=1e-4)
    assert not any((line.outputs / "run").glob("latest")) or len(run_folders(line)) == 1, "a grid does not move latest"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_grid_is_stopped_with_all_processes_of_its_job(command: Command, number: int, status: int) -> None:
    line = command("tower.dropout=0", "train.max_epochs=30")
    process = line.start("--multirun", *TWO, "embedding_dim=8,4")
    assert process.wait_for("store/train/*.partial/last.ckpt")
    (job,) = process.children()
    (follower,) = [int(each) for each in Path(f"/proc/{job}/task/{job}/children").read_text().split()]
    stopped = process.signal(number)
    assert stopped.status == status, stopped.err
    assert ends_soon(job)
    assert ends_soon(follower)
    assert "Traceback" not in stopped.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "group", "status"),
    [(signal.SIGKILL, False, -signal.SIGKILL), (signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGTERM, True, 143)],
    ids=["kill -9", "Ctrl-C", "SIGTERM", "SIGTERM to all"],
)
def test_the_second_rank_ends_with_the_first(command: Command, number: int, group: bool, status: int) -> None:
    line = command("tower.dropout=0", "train.max_epochs=30", *TWO)
    process = line.start()
    follower = in_training(process)
    stopped = process.signal(number, group=group)
    assert stopped.status == status, stopped.err
    assert ends_soon(follower)
    if number != signal.SIGKILL:
        assert "Traceback" not in stopped.err
        assert stopped.err.count("to go on from here") == 1
    again = line.run()
    assert again.status == 0, again.err
    assert "resuming the training after epoch" in again.err


@pytest.mark.slow
def test_a_second_rank_that_has_not_come_yet_ends_too(command: Command) -> None:
    line = command(*TWO)
    process = line.start()
    assert process.wait_for("store/train/*.partial")
    while not process.children():
        assert process.popen.poll() is None
    (follower,) = process.children()
    process.signal(signal.SIGKILL)
    assert ends_soon(follower, 30.0)


@pytest.mark.slow
def test_the_first_rank_does_not_wait_for_a_second_that_is_killed(command: Command) -> None:
    line = command("train.max_epochs=30", *TWO)
    process = line.start()
    follower = in_training(process)
    os.kill(follower, signal.SIGKILL)
    ended = process.end()
    assert ended.status != 0
    assert line.run().status == 0
