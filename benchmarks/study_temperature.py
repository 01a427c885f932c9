"""The temperature held constant, annealed, along a cosine, learned, and in a closed loop, on three data sets; nobody has published it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from common import arguments, outputs
from grid import Set, Study, report

NEWEST = 50
WHOLE = ("train.patience=null",)
"""Schedules run to their end."""
ARMS = {
    "constant .07": (),
    "constant .03": ("temperature.start=0.03",),
    "constant .15": ("temperature.start=0.15",),
    "linear .2 to .05": ("temperature=linear",),
    "exponential .2 to .05": ("temperature=exponential",),
    "cosine": ("temperature=cosine",),
    "learned": ("temperature=learned",),
    "closed loop": ("curriculum=target_hardness",),
}
QUICK = ("constant .07", "exponential .2 to .05", "cosine", "learned", "closed loop")


def grocery(source: Path) -> Path:
    """Each household's newest first purchases, a sample small enough for many trainings."""
    folder = outputs() / "benchmarks" / "study_temperature"
    folder.mkdir(parents=True, exist_ok=True)
    events = pl.scan_parquet(source / "interactions.parquet").group_by("user_id", "item_id").agg(pl.col("timestamp").min())
    newest = events.sort("user_id", "timestamp", "item_id").group_by("user_id", maintain_order=True).tail(NEWEST)
    newest.collect().write_parquet(folder / "grocery.parquet")
    return folder / "grocery.parquet"


def data_sets(folder: Path) -> dict[str, Set]:
    features = (
        "{item_id: categorical, department: categorical, brand: categorical, product_category: categorical, product_type: categorical}"
    )
    purchases = (
        "data=table",
        f"data.interactions={{path: {grocery(folder / 'complete_journey')}, query: user_id, item: item_id, time: timestamp}}",
        f"data.items={{path: {folder / 'complete_journey' / 'items.parquet'}, id: item_id, features: {features}}}",
        "data.history={max_length: 50}",
    )
    texts = (
        "data=beir",
        f"data.path={folder / 'tldr'}",
        "tower=static",
        "train.batch_size=256",
        "train.max_epochs=4",
        "train.patience=null",
    )
    return {
        "movielens": Set("recall@10", ("train.max_epochs=8", *WHOLE)),
        "tldr": Set("ndcg@10", (*texts, "train.max_epochs=4", *WHOLE)),
        "grocery": Set("recall@100", (*purchases, "train.max_epochs=3", *WHOLE)),
    }


def main() -> None:
    given = arguments(__doc__)
    if given.data is None:
        raise SystemExit("study_temperature needs --data DIR, the folder that holds tldr/ and complete_journey/")
    arms = {name: changes for name, changes in ARMS.items() if not given.quick or name in QUICK}
    study = Study(name="study_temperature", data=data_sets(given.data), arms=arms, seeds=(1,) if given.quick else (1, 2, 3))
    report(study, study.run())


if __name__ == "__main__":
    main()
