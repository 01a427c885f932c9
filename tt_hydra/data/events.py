"""Interactions as they come from a file: what cannot be used is dropped and counted, what cannot be right is an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl

from tt_hydra.errors import DataError


def drop_missing(events: pl.DataFrame, columns: tuple[str, ...], counts: Counter[str]) -> pl.DataFrame:
    """The events that have a value in each of the named columns."""
    for column in columns:
        kept = events.filter(pl.col(column).is_not_null())
        counts[f"interactions without {column}"] += len(events) - len(kept)
        events = kept
    return events


def drop_duplicates(events: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """The first of each set of events that agree in every column."""
    kept = events.unique(keep="first", maintain_order=True)
    counts["duplicate interactions"] += len(events) - len(kept)
    return kept


def drop_repeats(events: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Each query's first event with an item, by time where there is one, else by row."""
    ordered = events.with_row_index("row").sort(["time", "row"] if "time" in events.columns else ["row"])
    kept = ordered.unique(subset=["query", "item"], keep="first").sort("row").drop("row")
    counts["repeated interactions"] += len(events) - len(kept)
    return kept


def drop_unknown(events: pl.DataFrame, column: str, known: pl.Series, where: str, counts: Counter[str]) -> pl.DataFrame:
    """The events whose ``query`` or ``item`` is a known id.

    Raises:
        DataError: not one of them is known; shows an id of either side.
    """
    kept = events.filter(pl.col(column).is_in(known.implode()))
    if len(events) and not len(kept):
        raise DataError(
            f"none of the {len(events)} interactions names a known {column}: they name {column} ids such as {events[column][0]!r}, "
            f"{where} has ids such as {known[0]!r}; do both columns mean the same?"
        )
    counts[f"interactions with an unknown {column}"] += len(events) - len(kept)
    return kept


def drop_weightless(events: pl.DataFrame, counts: Counter[str], labels: Sequence[str] = ()) -> pl.DataFrame:
    """The events whose weight is above 0; without the column where every weight is 1 and it is none of the labels."""
    if "weight" not in events.columns:
        return events
    kept = events.filter(pl.col("weight") > 0)
    counts["interactions with weight 0"] += len(events) - len(kept)
    return kept.drop("weight") if len(kept) and (kept["weight"] == 1).all() and "weight" not in labels else kept


def require_events(events: pl.DataFrame, where: str, counts: Counter[str]) -> None:
    """Raises DataError if no interaction is left, with the reasons."""
    if len(events) == 0:
        reasons = "; ".join(f"{name}: {count}" for name, count in counts.items() if count)
        raise DataError(f"{where}: no interaction is left to use ({reasons or 'the file has none'})")


def told(counts: Counter[str]) -> dict[str, int]:
    """The counts that are not zero."""
    return {name: count for name, count in counts.items() if count}
