"""Raw rows of queries as they stood at some moment: what the featurizer takes from those who ask from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tt_hydra.contracts import IntArray
from tt_hydra.data.schema import HISTORY

if TYPE_CHECKING:
    from tt_hydra.data.dataset import Dataset


def raw_records(dataset: Dataset, rows: IntArray, positions: IntArray, items: IntArray, ranges: tuple[IntArray, IntArray]) -> pl.DataFrame:
    """Id, raw features, raw context and history of item ids, as ``Featurizer.encode_queries`` takes them.

    Args:
        dataset: where they lie.
        rows: ``(n,)`` query rows.
        positions: ``(n,)`` positions of the events whose context is theirs.
        items: item rows of the timeline that the histories are ranges of.
        ranges: first index and length of each history.
    """
    raw_queries = pl.read_parquet(dataset.folder / "queries" / "raw.parquet")[rows]
    features = raw_queries.select(encoder.name for encoder in dataset.featurizer.queries if encoder.name != "id")
    frame = dataset.query_ids.gather(rows).to_frame().hstack(features)
    if dataset.featurizer.context:
        frame = frame.hstack(pl.read_parquet(dataset.folder / "context" / "raw.parquet")[positions])
    return frame.hstack([_histories(dataset.item_ids, items, *ranges)]) if dataset.featurizer.history else frame


def _histories(ids: pl.Series, items: IntArray, starts: IntArray, lengths: IntArray) -> pl.Series:
    """Lists of item ids, oldest first; empty where there is no history."""
    events = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    taken = pl.DataFrame({"row": np.repeat(np.arange(len(starts)), lengths), HISTORY: ids.gather(items[events])})
    lists = taken.group_by("row", maintain_order=True).agg(HISTORY)
    every = pl.DataFrame({"row": np.arange(len(starts))}).join(lists, on="row", how="left", maintain_order="left")
    return every[HISTORY].fill_null([])
