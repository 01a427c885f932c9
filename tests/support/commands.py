"""The command line as real processes that a test may stop at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tt_hydra.config.paths import PACKAGE

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.001


def _hear_ctrl_c() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and whatever they start is deaf too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Process:
    """A started command line; it leads a process group of its own, as in a terminal."""

    popen: subprocess.Popen[str]
    outputs: Path

    def wait_for(self, pattern: str) -> bool:
        """Waits until a path under ``outputs`` fits; False where the process ended before."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while not any(self.outputs.glob(pattern)):
            if self.popen.poll() is not None:
                return any(self.outputs.glob(pattern))
            assert time.monotonic() < ends, f"{pattern} did not appear"
            time.sleep(POLL_SECONDS)
        return True

    def signal(self, number: int, group: bool = False) -> Done:
        """Sends a signal to it, or to its whole group as a terminal's Ctrl-C does, and waits for its end."""
        if self.popen.poll() is None:
            (os.killpg if group else os.kill)(self.popen.pid, number)
        return self.end()

    def end(self) -> Done:
        """Waits for its end."""
        try:
            out, err = self.popen.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            raise
        return Done(self.popen.returncode, out, err)

    def children(self) -> list[int]:
        """Process ids of its children."""
        path = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        return [int(each) for each in path.read_text().split()]


@dataclass(frozen=True)
class Done:
    """How a process ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        return self.err.strip().splitlines()[-1]


@dataclass
class CommandLine:
    """One command line, run in an empty folder, as often as asked."""

    folder: Path
    overrides: Sequence[str]
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def start(self, *more: str, words: Sequence[str] | None = None) -> Process:
        """Starts it with some more overrides, or starts other ``words`` in its place."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": path, "TT_HYDRA_OUTPUTS": str(self.outputs), "OMP_NUM_THREADS": str(self.threads)}
        popen = subprocess.Popen(
            words or [sys.executable, "-m", "tt_hydra", *self.overrides, *more],
            cwd=self.folder,
            env={**os.environ, **own, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,  # noqa: PLW1509
        )
        return Process(popen, self.outputs)

    def run(self, *more: str) -> Done:
        """Runs it to its end."""
        return self.start(*more).end()

    def finish(self, *more: str) -> dict[str, float]:
        """Runs it to its end, which must be a good one; the figures of its run."""
        done = self.run(*more)
        assert done.status == 0, done.err
        return figures(self.outputs / "run" / "latest")


@dataclass(frozen=True)
class Undisturbed:
    """A finished run to compare others with."""

    line: CommandLine
    quality: dict[str, float]


def figures(run_dir: Path) -> dict[str, float]:
    """``metrics.json``."""
    content: dict[str, float] = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    return content


def quality(metrics: Mapping[str, float]) -> dict[str, float]:
    """The figures that say how good a model and its index are, not how fast."""
    kinds = {f"{part}/{kind}" for part in ("valid", "test") for kind in ("model", "index", "ann")}
    found = {name: value for name, value in metrics.items() if "/".join(name.split("/")[:2]) in kinds}
    assert len(found) > 40
    return found


def is_alive(process: int) -> bool:
    """Whether a process runs; one that ended and was not asked for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends_soon(process: int, seconds: float = 15.0) -> bool:
    """Waits for the end of a process that is not ours."""
    ends = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < ends:
        time.sleep(0.05)
    return not is_alive(process)
