"""Workers that do a unit of work when told, so that ours and a peer's can take turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import ROOT


class Worker:
    """A process that answers each line on its standard input by a line of JSON; what else it prints goes to a log.

    Args:
        python: interpreter.
        script: below ``benchmarks/``.
        setting: what it is told at the start; ``threads`` is of this class.
        log: file for its messages.
    """

    def __init__(self, python: str | Path, script: str, setting: Mapping[str, Any], log: Path) -> None:
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "true"}
        if setting.get("threads"):
            environment["OMP_NUM_THREADS"] = str(setting["threads"])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as messages:
            self._process = subprocess.Popen(
                [str(python), str(ROOT / "benchmarks" / script), json.dumps(setting)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, text=True, env=environment,
            )  # fmt: skip
        self._log = log

    def step(self) -> dict[str, Any]:
        """The answer to one order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("step\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"a worker ended early; its messages are in {self._log}")

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def rates(workers: Mapping[str, Worker], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Units of work a second of each worker, round by round, the workers taking turns; the first rounds are not counted."""
    found: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(warm_up + rounds):
        for name, worker in workers.items():
            answer = worker.step()
            if number >= warm_up:
                found[name].append(answer["done"] / answer["seconds"])
    return found


def median_of_thirds(values: Sequence[float]) -> float:
    """Median of the medians of three consecutive parts."""
    size = len(values) // 3
    return statistics.median(statistics.median(values[part * size : (part + 1) * size]) for part in range(3))


def answer(**values: float) -> None:
    """A worker's answer."""
    print(json.dumps(values), file=sys.__stdout__, flush=True)
