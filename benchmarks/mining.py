"""Mining hard negatives for 2,000 training queries of tldr among its 7,424 pages, encoding included: ours and sentence-transformers.

Both search exactly, keep the 100 nearest, leave out the positives and what comes within 5% of the positive's similarity, and take ten.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from beir_files import Texts, subset
from common import PEERS, arguments, finish, outputs, setup_peers, table
from paced import Worker

QUERIES = 2000
FILTERS = {"top": 100, "margin": 0.05, "negatives": 10, "max_length": 256}
ROUNDS = {True: 3, False: 5}
"""Minings of each side, by ``--quick``."""


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("mining needs --data DIR, the folder that holds tldr/ in the BEIR layout")
    setup_peers()
    folder = outputs() / "benchmarks" / "mining"
    folder.mkdir(parents=True, exist_ok=True)
    texts = Texts.read(given.data / "tldr")
    pairs = sorted(texts.pairs("train"))
    chosen = set(sorted({query for query, _ in pairs})[:: max(1, len({query for query, _ in pairs}) // QUERIES)][:QUERIES])
    data = subset(texts, folder / "tldr", [pair for pair in pairs if pair[0] in chosen])
    told = {"data": str(data), **FILTERS}
    found, seconds = in_turns(told, folder, ROUNDS[given.quick])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    figures = {f"{name}/mining_s": value for name, value in medians.items()} | {"ratio/mining": medians["peer"] / medians["ours"]}
    figures |= judged(texts, found, [pair for pair in pairs if pair[0] in chosen])
    rows = [[name, f"{medians[name]:.1f}", f"{min(times):.1f} - {max(times):.1f}"] for name, times in seconds.items()]
    table(f"seconds to mine {QUERIES} queries x {len(texts.documents)} pages, in turns", ["", "median", "range"], rows)
    finish("mining", figures)


def in_turns(told: dict[str, Any], folder: Path, rounds: int) -> tuple[dict[str, list[list[str]]], dict[str, list[float]]]:
    files = {name: folder / f"{name}.json" for name in ("ours", "peer")}
    workers = {
        "ours": Worker(sys.executable, "ours_mining.py", {**told, "found": str(files["ours"])}, folder / "ours.log"),
        "peer": Worker(PEERS, "peers/sbert_mine.py", {**told, "found": str(files["peer"])}, folder / "peer.log"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for number in range(rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.step()["seconds"])
                print(f"{number + 1}/{rounds} {name}: {seconds[name][-1]:.1f} s", flush=True)
    finally:
        for worker in workers.values():
            worker.close()
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items()}, seconds


def judged(texts: Texts, found: dict[str, list[list[str]]], pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Positives among the negatives of each side, by text, and how far the two sides agree."""
    positives = {(texts.queries[query], texts.documents[document]) for query, document in pairs}
    sides = {
        "ours": {(texts.queries[query], texts.documents[document]) for query, document in found["ours"]},
        "peer": {(query, document) for query, document in found["peer"]},
    }
    figures = {f"{name}/positives_among_negatives": float(len(side & positives)) for name, side in sides.items()}
    figures |= {f"{name}/negatives": float(len(side)) for name, side in sides.items()}
    return figures | {"agreement": len(sides["ours"] & sides["peer"]) / max(1, len(sides["peer"]))}


if __name__ == "__main__":
    main()
