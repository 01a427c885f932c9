"""SciFact and tldr: ndcg@10 of MiniLM trained by ours and by sentence-transformers on the same pairs, epochs and lengths.

Ours is ``experiment=text``, which mines negatives as it learns; the peer is MultipleNegativesRankingLoss in its trainer's defaults.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from beir_files import Texts, subset
from common import arguments, finish, outputs, run_ours, table
from judge import compare, per_query, sbert_vectors

BATCH = 64
EPOCHS = {True: 1, False: 3}
"""By ``--quick``."""
TASKS = {
    "scifact": {"pairs": None, "length": 256, "parts": ("test",)},
    "tldr": {"pairs": 4000, "length": 128, "parts": ("test", "test_cold")},
}


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("text_quality needs --data DIR, the folder that holds scifact/ and tldr/ in the BEIR layout")
    figures: dict[str, float] = {}
    rows = []
    for name in TASKS:
        for part, (found, cells) in task(name, given.data, EPOCHS[given.quick]).items():
            prefix = name if part == "test" else f"{name}/cold"
            figures |= {f"{prefix}/{key}": value for key, value in found.items()}
            rows.append([f"{name}, {part}", *cells])
    table("ndcg@10, 95% bootstrap intervals by query", ["", "ours", "sentence-transformers", "ours - it"], rows)
    finish("text_quality", figures)


def task(name: str, data: Path, epochs: int) -> dict[str, tuple[dict[str, float], list[str]]]:
    """Both sides' figures of each part of a data set; every part is judged by the same training."""
    told = TASKS[name]
    folder = outputs() / "benchmarks" / "text_quality" / name
    folder.mkdir(parents=True, exist_ok=True)
    source = Texts.read(data / name)
    texts = Texts.read(subset(source, folder / "data", source.pairs("train", told["pairs"]), told["parts"]))
    length = told["length"]
    overrides = [
        "experiment=text", f"data.path={texts.folder}", "data.valid_share=0",
        f"tower.query_max_length={length}", f"tower.item_max_length={length}",
        f"train.batch_size={BATCH}", f"train.max_epochs={epochs}", "logger=none",
    ]  # fmt: skip
    run = run_ours(f"text_quality-{name}", overrides)
    ours = pl.read_parquet(run / "per_query_test.parquet")
    peer = per_query(texts, sbert_vectors(texts, folder / "peer", {"batch_size": BATCH, "max_length": length, "epochs": epochs}))
    queries = {part: [query for query, _ in source.pairs(part)] for part in told["parts"]}
    return {part: compare(*(side.filter(pl.col("query").is_in(names)) for side in (ours, peer))) for part, names in queries.items()}


if __name__ == "__main__":
    main()
