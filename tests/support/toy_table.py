"""A small table that can be learnt: users of four tastes, each of whom takes items of one taste."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

TASTES, USERS, ITEMS, EVENTS = 4, 48, 80, 8
PAIRS = USERS * (EVENTS - 2)
"""Training pairs that leave-last-out keeps."""


def write_table(folder: Path) -> list[str]:
    """Writes ``events.csv`` and ``items.csv``; returns the overrides that declare them, paths absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    taste = np.arange(ITEMS) % TASTES
    items = pl.DataFrame({"item_id": [f"i{number}" for number in range(ITEMS)], "title": [f"film {kind} {kind}" for kind in taste]})
    items.write_csv(folder / "items.csv")
    taken = [random.permutation(np.flatnonzero(taste == user % TASTES))[:EVENTS] for user in range(USERS)]
    rows = [(f"u{user}", f"i{item}", 60 * number + user) for user, chosen in enumerate(taken) for number, item in enumerate(chosen)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "time"], orient="row").write_csv(folder / "events.csv")
    return [
        "data=table",
        f"data.interactions.path={folder}/events.csv",
        "data.interactions.time=time",
        f"data.items.path={folder}/items.csv",
        "data.items.features={title: text}",
        "data.history.max_length=5",
    ]
