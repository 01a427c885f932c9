from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import CommandLine, Done, Undisturbed, figures, quality
from toy_table import write_table

from tt_hydra import cli

if TYPE_CHECKING:
    from tt_hydra.artifact.bundle import Bundle

SMALL = [
    *("embedding_dim=8", "tower.feature_dim=8", "tower.text_buckets=64", "train.batch_size=96", "train.max_epochs=6", "optimizer.lr=0.02"),
    *("evaluate.resamples=20", "evaluate.latency_queries=5", "logger=none", "index=ivf", "quantization=int8", "train.accelerator=cpu"),
    "runtime.threads=1",
]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., CommandLine]:
    """Command lines of small runs, each in a folder and with a store of its own."""
    root = tmp_path_factory.mktemp("commands")
    table = write_table(root / "table")
    count = iter(range(1000))

    def make(*more: str, data: list[str] | None = None, folder: Path | None = None) -> CommandLine:
        return CommandLine(folder or root / str(next(count)), [*(data or table), *SMALL, *more])

    return make


@pytest.fixture
def try_in_process(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command line here and tells how it ended."""

    def run(line: CommandLine, *more: str) -> Done:
        capfd.readouterr()
        status = _status(line, more)
        told = capfd.readouterr()
        return Done(status, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def in_process() -> Callable[..., dict[str, float]]:
    """Runs a command line here, which saves the seconds that a process takes to start; the figures of its run."""

    def run(line: CommandLine, *more: str) -> dict[str, float]:
        assert _status(line, more) == 0
        return figures(line.outputs / "run" / "latest")

    return run


@pytest.fixture(scope="session")
def undisturbed(command: Callable[..., CommandLine], in_process: Callable[..., dict[str, float]]) -> Undisturbed:
    """A run that nobody disturbs."""
    line = command()
    return Undisturbed(line, quality(in_process(line)))


def _status(line: CommandLine, more: Sequence[str]) -> int:
    line.folder.mkdir(parents=True, exist_ok=True)
    arguments = [*line.overrides, *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(line.folder)
        patch.setenv("TT_HYDRA_OUTPUTS", str(line.outputs))
        patch.setattr(sys, "argv", ["tt-hydra", *arguments])
        return cli.status(arguments)


@pytest.fixture
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions that are held against each other are timed a few times only."""
    monkeypatch.setattr("tt_hydra.pipeline.contest.CALLS", 5)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of other towers over the catalogue of ``parts``."""
    from bundle_parts import make_parts  # noqa: PLC0415  # seconds of imports that most tests do not need

    from tt_hydra.artifact.write import write_bundle  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("other")
    return write_bundle(folder / "bundle", make_parts(folder, seed=1))
