"""What the benchmarks of recommendation share: one split for ours and the peers, one piece of metric code, one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from common import finish, run_ours, table

from tt_hydra.contracts import FloatArray, SearchResult
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.prepare import prepare
from tt_hydra.data.tables import Tables
from tt_hydra.metrics.ranking import evaluate_ranking
from tt_hydra.metrics.significance import difference_interval, mean_interval

Figures = Mapping[str, FloatArray]
"""By metric the figure of each test query, in the data set's order."""


def write_split(tables: Tables, folder: Path) -> Dataset:
    """Prepares a source with the seed of a plain run, and writes what the peers read: ``split.npz``."""
    prepare(tables, seed=42, folder=folder / "data")
    dataset = Dataset.load(folder / "data")
    train = np.stack([dataset.train.query_rows, dataset.train.item_rows], axis=1)
    split = {"train": train, "valid": _pairs(dataset, "valid"), "test": _pairs(dataset, "test")}
    np.savez(folder / "split.npz", **split, queries=dataset.num_queries, items=dataset.num_items)
    return dataset


def _pairs(dataset: Dataset, part: str) -> np.ndarray:
    block = dataset.eval_part(part)
    return np.stack([np.repeat(block.query_rows, np.diff(block.relevant.offsets)), block.relevant.values], axis=1)


def judge(dataset: Dataset, rows: np.ndarray) -> Figures:
    """Each test query's figures for its best items, ``(queries, depth)``, a row for every query of the data set or for each test query."""
    block = dataset.eval_part("test")
    rows = rows[block.query_rows] if len(rows) == dataset.num_queries else rows
    scores = np.tile(-np.arange(rows.shape[1], dtype=np.float32), (len(rows), 1))
    scores[rows < 0] = -np.inf
    return evaluate_ranking(SearchResult(scores, rows.astype(np.int64)), block.relevant, block.gains).per_query.values


def ours(dataset: Dataset, name: str, overrides: Sequence[str], seeds: Iterable[int], metrics: Sequence[str]) -> Figures:
    """Each test query's figures, the mean over runs of the command line with these seeds."""
    ids = pl.DataFrame({"query": dataset.query_ids.gather(dataset.eval_part("test").query_rows)})
    runs = []
    for seed in seeds:
        found = pl.read_parquet(run_ours(f"{name}-{seed}", [*overrides, f"seed={seed}"]) / "per_query_test.parquet")
        runs.append(ids.join(found, on="query", how="left", maintain_order="left", validate="1:1"))
    return {metric: np.mean([run[f"model/{metric}"].to_numpy() for run in runs], axis=0) for metric in metrics}


def report(name: str, title: str, results: Mapping[str, Figures], metrics: Sequence[str], best: str) -> None:
    """The table and the last line: figures of each, and the interval of the paired difference of the arm ``best`` to every other."""
    figures, rows = {}, []
    for arm, found in results.items():
        cells = [arm.removeprefix("peer/")]
        for metric in metrics:
            estimate = mean_interval(found[metric])
            figures[f"{arm}/{metric}"] = estimate.value
            cells.append(f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]")
        for metric in metrics if arm != best else ():
            difference = difference_interval(results[best][metric], found[metric])
            figures |= {f"diff/{arm}/{metric}/ci_low": difference.low, f"diff/{arm}/{metric}/ci_high": difference.high}
            cells.append(f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]")
        rows.append(cells + [""] * (1 + 2 * len(metrics) - len(cells)))
    table(title, ["", *metrics, *(f"{best} - it, {metric}" for metric in metrics)], rows)
    finish(name, figures)
