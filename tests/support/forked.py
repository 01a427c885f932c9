"""Command lines in processes that start at once: children of a process that has imported everything and run nothing."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = [
    "torch",
    "hydra",
    "tt_hydra.cli",
    "tt_hydra.pipeline.serve",
    "tt_hydra.pipeline.versions",
    "tt_hydra.serve.app.server",
    "tt_hydra.serve.engine",
]
PATIENCE = 120.0


@dataclass(frozen=True)
class Started:
    """A process and the file that it says everything to."""

    process: BaseProcess
    said: Path

    @property
    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    @property
    def runs(self) -> bool:
        return self.process.is_alive()

    def wait_for(self, text: str) -> str:
        """Waits until it says a line with some text; that line."""
        ends = time.monotonic() + PATIENCE
        while True:
            ended = not self.runs
            if found := [line for line in self.text.splitlines(keepends=True) if text in line and line.endswith("\n")]:
                return found[0]
            assert not ended, self.text
            assert time.monotonic() < ends, f"{text!r} was not said: {self.text}"
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9; harmless where it has ended."""
        self.process.kill()

    def end(self) -> int | None:
        """Waits for its end; its exit status, negative for a signal."""
        self.process.join(PATIENCE)
        return self.process.exitcode


def start(words: list[str], said: Path, environment: Mapping[str, str]) -> Started:
    """Starts ``python -m tt_hydra`` with these words."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    said.write_bytes(b"")
    process = context.Process(target=_run, args=(words, str(said), dict(environment)), daemon=True)
    process.start()
    return Started(process, said)


def _run(words: list[str], said: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    descriptor = os.open(said, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.argv = ["tt_hydra", *words]
    from tt_hydra.cli import main  # noqa: PLC0415

    main()
