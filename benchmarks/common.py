"""What every benchmark shares: its arguments, the peers' environment, a run of ours, the table and the last line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class Arguments:
    """What a benchmark can be told: ``data`` holds the folders of the data sets, ``quick`` asks for an end within 15 minutes."""

    data: Path | None
    quick: bool


def arguments(description: str) -> Arguments:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="folder with the data sets")
    parser.add_argument("--quick", action="store_true", help="end within 15 minutes on 2 cores")
    parsed = parser.parse_args()
    return Arguments(parsed.data, parsed.quick)


def outputs() -> Path:
    return Path(os.environ.get("TT_HYDRA_OUTPUTS", ROOT / "outputs"))


def run_ours(name: str, overrides: Sequence[str]) -> Path:
    """Runs the command line as a user would; the folder of the run."""
    folder = outputs() / "benchmarks" / "runs" / name
    command = [sys.executable, "-m", "tt_hydra", *overrides, f"hydra.run.dir={folder}", "runtime.set_latest=false"]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "TT_HYDRA_OUTPUTS": str(outputs())})
    return folder


def setup_peers() -> None:
    """Makes the peers' environment where it is missing or older than its list."""
    subprocess.run(["make", "--silent", "setup-peers"], check=True, cwd=ROOT)


def run_peer(script: str, *values: str) -> None:
    """Runs ``benchmarks/peers/<script>`` in the peers' environment."""
    setup_peers()
    subprocess.run([str(PEERS), str(ROOT / "benchmarks" / "peers" / script), *values], check=True)


def metrics_of(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    drawn = Table(title=title, title_justify="left")
    for number, column in enumerate(header):
        drawn.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        drawn.add_row(*row)
    Console(width=140).print(drawn)


def finish(name: str, figures: Mapping[str, float]) -> None:
    """Writes ``outputs/benchmarks/<name>.json`` and prints the same as the last line."""
    path = outputs() / "benchmarks" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {key: float(f"{value:.8g}") for key, value in figures.items()}
    path.write_text(json.dumps(rounded, indent=1), encoding="utf-8")
    print(json.dumps(rounded), flush=True)
