"""Texts as rows: distinct texts become queries or items with ids of their own."""

from __future__ import annotations

from collections import Counter

import polars as pl

from tt_hydra.data.declaration import FeatureSpec

TEXT_FEATURE = {"text": FeatureSpec(kind="text")}


def number_texts(texts: pl.Series, prefix: str) -> pl.DataFrame:
    """Columns ``id`` and ``text``: the distinct texts in order of their first appearance, called ``<prefix>0``, ``<prefix>1`` ..."""
    distinct = texts.drop_nulls().unique(maintain_order=True)
    return pl.DataFrame({"text": distinct}).select(
        pl.format(prefix + "{}", pl.int_range(pl.len())).alias("id"),
        "text",
    )


def ids_of(texts: pl.Series, table: pl.DataFrame) -> pl.Series:
    """The id of each text in a table made by ``number_texts``; null for a null."""
    return texts.to_frame("text").join(table, on="text", how="left", maintain_order="left")["id"]


def drop_empty(frame: pl.DataFrame, column: str, what: str, counts: Counter[str]) -> pl.DataFrame:
    """The rows whose text in ``column`` has a character that is no space; the others are counted as ``what``."""
    kept = frame.filter(pl.col(column).str.strip_chars().str.len_chars() > 0)
    counts[what] += len(frame) - len(kept)
    return kept
