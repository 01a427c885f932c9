"""MovieLens-100K, leave-last-one-out: ours and four peers on one split, judged by one piece of metric code."""

from __future__ import annotations

import numpy as np
import polars as pl
from common import arguments, finish, outputs, run_ours, run_peer, table

from tt_hydra.contracts import PerQuery, SearchResult
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.movielens import MovieLens
from tt_hydra.data.prepare import prepare
from tt_hydra.metrics.ranking import evaluate_ranking
from tt_hydra.metrics.significance import difference_interval, mean_interval

METRICS = ("recall@10", "ndcg@10")
PEERS = ("popularity", "bpr", "als", "ease")


def pairs(dataset: Dataset, part: str) -> np.ndarray:
    block = dataset.eval_part(part)
    return np.stack([np.repeat(block.query_rows, np.diff(block.relevant.offsets)), block.relevant.values], axis=1)


def judge(dataset: Dataset, rows: np.ndarray) -> PerQuery:
    """Each query's figures for its best items, ``(test queries, depth)``."""
    block = dataset.eval_part("test")
    scores = np.tile(-np.arange(rows.shape[1], dtype=np.float32), (len(rows), 1))
    return evaluate_ranking(SearchResult(scores, rows.astype(np.int64)), block.relevant, block.gains).per_query


def ours(dataset: Dataset, name: str, overrides: list[str]) -> PerQuery:
    """A run of the command line: what it wrote of each user, in the order of the peers' figures."""
    found = pl.read_parquet(run_ours(f"movielens-{name}", overrides) / "per_query_test.parquet")
    ids = dataset.query_ids.gather(dataset.eval_part("test").query_rows)
    ordered = pl.DataFrame({"query": ids}).join(found, on="query", how="left", maintain_order="left")
    return PerQuery(ids.to_list(), {metric: ordered[f"model/{metric}"].to_numpy() for metric in METRICS})


def main() -> None:
    arguments(__doc__)
    folder = outputs() / "benchmarks" / "movielens"
    folder.mkdir(parents=True, exist_ok=True)
    source = MovieLens()
    prepare(source.read(), seed=42, folder=folder / "data")
    dataset = Dataset.load(folder / "data")
    train = np.stack([dataset.train.query_rows, dataset.train.item_rows], axis=1)
    split = {"train": train, "valid": pairs(dataset, "valid"), "test": pairs(dataset, "test")}
    np.savez(folder / "split.npz", **split, queries=dataset.num_queries, items=dataset.num_items)
    run_peer("collaborative.py", str(folder / "split.npz"), str(folder))
    results = {f"peer/{peer}": judge(dataset, np.load(folder / f"{peer}.npy")) for peer in PEERS}
    results["ours"] = ours(dataset, "default", [])
    report(results)


def report(results: dict[str, PerQuery]) -> None:
    figures, rows = {}, []
    for name, found in results.items():
        cells = [name.removeprefix("peer/")]
        for metric in METRICS:
            estimate = mean_interval(found.values[metric])
            figures[f"{name}/{metric}"] = estimate.value
            cells.append(f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]")
        for metric in METRICS:
            difference = difference_interval(results["ours"].values[metric], found.values[metric])
            figures |= (
                {f"diff/{name}/{metric}/ci_low": difference.low, f"diff/{name}/{metric}/ci_high": difference.high} if name != "ours" else {}
            )
            cells.append("" if name == "ours" else f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
        rows.append(cells)
    header = ["", *METRICS, *(f"ours - it, {metric}" for metric in METRICS)]
    table("MovieLens-100K, leave-last-one-out, test, 95% bootstrap intervals by user", header, rows)
    finish("movielens", figures)


if __name__ == "__main__":
    main()
