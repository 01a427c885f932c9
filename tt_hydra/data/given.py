"""The negatives that a source names for its training pairs, as item rows."""

from __future__ import annotations

import numpy as np
import polars as pl

from tt_hydra.contracts import IntArray, Ragged
from tt_hydra.data.encoded import Column
from tt_hydra.data.ordered import grouped


def given_negatives(frame: pl.DataFrame, queries: IntArray, known: Ragged, ids: pl.Series, counts: dict[str, int]) -> dict[str, Column]:
    """``negatives`` and, where a teacher scored them, ``negatives_teacher``, as a data set stores them.

    An item that the catalogue does not have, and one that is a positive of the query in the training part (it was shown and taken), is
    left out and counted. What is taken only later stays: training cannot know.

    Args:
        frame: the training pairs' columns ``negatives`` and perhaps ``negatives_teacher``.
        queries: ``(pairs,)`` query rows.
        known: by query row, its positives in the training part.
        ids: item ids by row.
        counts: receives what was left out.
    """
    scored = "negatives_teacher" in frame.columns
    lengths = frame["negatives"].list.len().fill_null(0)
    scores = frame["negatives_teacher"] if scored else pl.select(pl.lit(None, pl.Float32).repeat_by(lengths)).to_series()
    texts = frame["negatives"].cast(pl.List(pl.String)).fill_null([])
    named = pl.DataFrame({"pair": np.arange(len(frame)), "query": queries, "id": texts, "teacher": scores.fill_null([])})
    named = named.explode("id", "teacher").drop_nulls("id")
    numbers = pl.DataFrame({"id": ids.cast(pl.String)}).with_row_index("item")
    found = named.join(numbers.with_columns(pl.col("item").cast(pl.Int64)), on="id", how="inner", maintain_order="left")
    positives = pl.DataFrame({"query": known.owners(), "item": known.values.astype(np.int64)})
    kept = found.join(positives, on=["query", "item"], how="anti", maintain_order="left")
    for reason, number in (("unknown item", len(named) - len(found)), ("a positive of the query", len(found) - len(kept))):
        if number:
            counts[f"negatives dropped: {reason}"] = number
    values = {"negatives": kept["item"].to_numpy()}
    if scored:
        values["negatives_teacher"] = kept["teacher"].fill_null(np.nan).to_numpy()
    columns = grouped(kept["pair"].to_numpy(), values, np.arange(len(frame)))
    return {name: column.values if name == "negatives_teacher" else column for name, column in columns.items()}
