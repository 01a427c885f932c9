"""Training MiniLM on tldr: pairs a second of ours and of sentence-transformers, in defaults and at its best; one epoch's quality."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
from beir_files import Texts, subset
from common import PEERS, arguments, finish, outputs, run_ours, setup_peers, table
from judge import compare, per_query, sbert_vectors
from paced import Worker, median_of_thirds, rates

BATCH, LENGTH = 64, 128
ROUNDS = 12
PAIRS = 1000
SEEDS = {True: (42,), False: (42, 43, 44)}
"""Of the trainings whose quality is compared, by ``--quick``: one moves ndcg@10 by half a point."""


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("train_text needs --data DIR, the folder that holds tldr/ in the BEIR layout")
    setup_peers()
    folder = outputs() / "benchmarks" / "train_text"
    folder.mkdir(parents=True, exist_ok=True)
    texts = Texts.read(given.data / "tldr")
    pairs = folder / "pairs.jsonl"
    texts.write_pairs(texts.pairs("train"), pairs)
    told = {"work": "train", "pairs": str(pairs), "batch_size": BATCH, "max_length": LENGTH, "epochs": 100}
    figures = throughput(told, folder, rounds_of_grid=2 if given.quick else 6)
    figures |= quality(texts, folder, SEEDS[given.quick])
    finish("train_text", figures)


def throughput(told: dict[str, Any], folder: Path, rounds_of_grid: int) -> dict[str, float]:
    best = best_of_grid(told, folder, rounds_of_grid)
    arms = {
        "ours": Worker(sys.executable, "ours_text.py", told, folder / "ours.log"),
        "peer_default": Worker(PEERS, "peers/sbert_train.py", told, folder / "peer.log"),
        "peer_best": Worker(PEERS, "peers/sbert_train.py", {**told, **best}, folder / "peer.log"),
    }
    try:
        found = rates(arms, ROUNDS)
    finally:
        for worker in arms.values():
            worker.close()
    ours, default, tuned = (median_of_thirds(found[name]) for name in arms)
    rows = [[name, f"{median_of_thirds(values):.2f}", f"{min(values):.2f} - {max(values):.2f}"] for name, values in found.items()]
    table(f"pairs a second, batch {BATCH}, up to {LENGTH} tokens, {ROUNDS} steps in turns", ["", "median of 3", "range"], rows)
    return {
        "ours/pairs_per_s": ours,
        "peer/default/pairs_per_s": default,
        "peer/best/pairs_per_s": tuned,
        "ratio/pairs_per_s_default": ours / default,
        "ratio/pairs_per_s_best": ours / tuned,
    }


def best_of_grid(told: dict[str, Any], folder: Path, rounds: int) -> dict[str, Any]:
    """The peer's fastest setting, one after the other, after a step to warm up; prints all."""
    speeds: list[tuple[float, dict[str, Any]]] = []
    for bf16, grouped, attention, threads in product((False, True), (False, True), ("sdpa", "eager"), (None, 1)):
        setting = {"bf16": bf16, "grouped": grouped, "attention": attention, "threads": threads}
        worker = Worker(PEERS, "peers/sbert_train.py", {**told, **setting}, folder / "grid.log")
        try:
            speeds.append((statistics.median(rates({"it": worker}, rounds, warm_up=1)["it"]), setting))
        finally:
            worker.close()
    rows = [[*(str(value) for value in setting.values()), f"{speed:.2f}"] for speed, setting in sorted(speeds, key=lambda pair: -pair[0])]
    table("sentence-transformers, pairs a second", ["bf16", "length grouping", "attention", "threads", "pairs/s"], rows)
    return max(speeds, key=lambda pair: pair[0])[1]


def quality(texts: Texts, folder: Path, seeds: Sequence[int]) -> dict[str, float]:
    """ndcg@10 after one epoch on the same pairs: ours with the loss and negatives whose speed was measured, the peer in its defaults."""
    data = subset(texts, folder / "data", texts.pairs("train", PAIRS))
    same = Texts.read(data)
    ours, peer = [], []
    for seed in seeds:
        overrides = [
            "experiment=text", f"data.path={data}", "negatives=in_batch", "~negatives.start", "loss=infonce", "loss.symmetric=true",
            "data.valid_share=0", "logger=none",
            f"tower.query_max_length={LENGTH}", f"tower.item_max_length={LENGTH}",
            f"train.batch_size={BATCH}", "train.max_epochs=1", f"seed={seed}",
        ]  # fmt: skip
        ours.append(pl.read_parquet(run_ours(f"train_text-{seed}", overrides) / "per_query_test.parquet"))
        told = {"batch_size": BATCH, "max_length": LENGTH, "epochs": 1, "seed": seed}
        peer.append(per_query(same, sbert_vectors(same, folder / "peer", told)))
    figures, cells = compare(mean_over_runs(ours), mean_over_runs(peer))
    title = f"tldr, test, ndcg@10 after one epoch on {PAIRS} pairs, mean of {len(seeds)} seeds"
    table(title, ["ours", "sentence-transformers", "ours - it"], [cells])
    return figures


def mean_over_runs(runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Each query's mean figures over runs that judged the same queries."""
    return pl.concat(runs).group_by("query", maintain_order=True).agg(pl.selectors.float().mean())


if __name__ == "__main__":
    main()
