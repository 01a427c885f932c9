"""Time and memory of each stage as the data grows: 1x, 4x and 16x of 62,500 synthetic interactions on 12,500 items.

16x is 1 million interactions on 200,000 items.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from common import ROOT, arguments, finish, metrics_of, outputs, table

INTERACTIONS, ITEMS, USERS = 62_500, 12_500, 2_500
STAGES = ("prepare", "train", "embed", "index", "evaluate", "report")
POLL_SECONDS = 0.05


def synthesize(folder: Path, scale: int) -> None:
    """Users with a taste (one of 50 topics), items of a topic, popularity by Zipf's law, one event a minute."""
    random = np.random.default_rng(scale)
    items, users, events = ITEMS * scale, USERS * scale, INTERACTIONS * scale
    topic = random.integers(0, 50, items)
    by_topic = np.argsort(topic, kind="stable")
    starts, sizes = np.searchsorted(topic[by_topic], np.arange(50)), np.bincount(topic, minlength=50)
    user = random.integers(0, users, events)
    taste = np.where(random.random(events) < 0.8, random.integers(0, 50, users)[user], random.integers(0, 50, events))
    rank = (sizes[taste] ** random.random(events)).astype(np.int64) - 1
    folder.mkdir(parents=True, exist_ok=True)
    frame = {"user": user, "item": by_topic[starts[taste] + rank], "time": 1_700_000_000 + 60 * np.arange(events)}
    pl.DataFrame(frame).write_parquet(folder / "events.parquet")
    columns = {"item": np.arange(items), "topic": topic, "price": random.lognormal(size=items).astype(np.float32)}
    pl.DataFrame(columns).write_parquet(folder / "items.parquet")


def command(folder: Path, run: Path) -> list[str]:
    overrides = [
        "data=table",
        f"data.interactions={{path: {folder}/events.parquet, query: user, item: item, time: time}}",
        f"data.items={{path: {folder}/items.parquet, id: item, features: {{item: categorical, topic: categorical, price: numeric}}}}",
        "data.history={max_length: 20}",
        "train.max_epochs=1",
        "logger=none",
        f"hydra.run.dir={run}",
        "runtime.set_latest=false",
        "runtime.progress_bar=false",
    ]
    return [sys.executable, "-m", "tt_hydra", *overrides]


def memory(process: subprocess.Popen[bytes], store: Path) -> dict[str, float]:
    """Peak resident memory in MB while each stage's folder was being filled."""
    peaks = dict.fromkeys((*STAGES, "whole"), 0.0)
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        except FileNotFoundError:
            break
        resident = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)
        for stage in ["whole", *(path.parent.name for path in store.glob("*/*.partial"))]:
            peaks[stage] = max(peaks[stage], resident)
        time.sleep(POLL_SECONDS)
    return peaks


def measure(scale: int) -> dict[str, float]:
    folder = outputs() / "benchmarks" / "growth" / f"{scale}x"
    synthesize(folder, scale)
    root = folder / "outputs"
    process = subprocess.Popen(command(folder, root / "run" / "it"), cwd=ROOT, env={**os.environ, "TT_HYDRA_OUTPUTS": str(root)})
    peaks = memory(process, root / "store")
    if process.wait():
        raise SystemExit(f"the run at {scale}x failed")
    metrics = metrics_of(root / "run" / "it")
    seconds = {f"ours/{scale}x/{stage}/seconds": metrics[f"stage/{stage}/seconds"] for stage in STAGES}
    return {**seconds, **{f"ours/{scale}x/{stage}/peak_mb": peak for stage, peak in peaks.items() if peak}}


def main() -> None:
    scales = (1, 4) if arguments(__doc__).quick else (1, 4, 16)
    figures: dict[str, float] = {}
    for scale in scales:
        figures |= measure(scale)
    rows = []
    for stage in (*STAGES, "whole"):
        cells = [stage]
        for scale in scales:
            seconds, peak = figures.get(f"ours/{scale}x/{stage}/seconds"), figures.get(f"ours/{scale}x/{stage}/peak_mb")
            cells.append(" ".join([f"{seconds:.1f} s" if seconds is not None else "", f"{peak:.0f} MB" if peak else ""]).strip())
        rows.append(cells)
    header = ["stage", *(f"{scale}x: {INTERACTIONS * scale:,} on {ITEMS * scale:,}" for scale in scales)]
    table("Time and peak resident memory by stage, tower=mlp, one epoch", header, rows)
    finish("growth", figures)


if __name__ == "__main__":
    main()
