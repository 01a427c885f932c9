"""SciFact with the MiniLM tower: as it comes, and trained on the train split; the same queries, the interval of the paired difference."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from common import arguments, finish, metrics_of, run_ours, table

from tt_hydra.metrics.significance import difference_interval, mean_interval

METRICS = ("ndcg@10", "recall@10", "mrr@10")
ARMS = {"untrained": ["train.max_epochs=0"], "trained": []}


def figures_of(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "per_query_test.parquet").sort("query")


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("scifact needs --data DIR, the folder that holds scifact/ in the BEIR layout")
    base = ["data=beir", f"data.path={given.data / 'scifact'}", "tower=bert", "logger=none"]
    runs = {name: run_ours(f"scifact-{name}", [*base, *overrides]) for name, overrides in ARMS.items()}
    found = {name: figures_of(run) for name, run in runs.items()}
    if not found["trained"]["query"].equals(found["untrained"]["query"]):
        raise SystemExit("the two arms did not judge the same queries")
    figures, rows = {}, []
    for metric in METRICS:
        cells = [metric]
        for name, frame in found.items():
            estimate = mean_interval(frame[f"model/{metric}"].to_numpy())
            figures[f"ours/{name}/{metric}"] = estimate.value
            cells.append(f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]")
        difference = difference_interval(*(found[name][f"model/{metric}"].to_numpy() for name in ("trained", "untrained")))
        figures |= {f"diff/{metric}": difference.value, f"diff/{metric}/ci_low": difference.low, f"diff/{metric}/ci_high": difference.high}
        rows.append([*cells, f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"])
    figures["ours/trained/train_s"] = metrics_of(runs["trained"])["stage/train/seconds"]
    table("SciFact, test, 95% bootstrap intervals by query", ["", *ARMS, "trained - untrained"], rows)
    finish("scifact", figures)


if __name__ == "__main__":
    main()
