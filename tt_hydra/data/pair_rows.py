"""Rows of (query, positive, negatives) texts as queries, items and interactions."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tt_hydra.data.columns import PARTS, as_numbers, as_parts, as_text, as_weights
from tt_hydra.data.content import hash_file
from tt_hydra.data.declaration import Declaration, SplitSpec
from tt_hydra.data.events import drop_duplicates, drop_missing, require_events, told
from tt_hydra.data.reading import DataFile, read_file, require_columns
from tt_hydra.data.tables import Tables
from tt_hydra.data.texts import TEXT_FEATURE, drop_empty, ids_of, number_texts
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

AUTO = "auto"
NEGATIVE_COLUMN = re.compile(r"(hard_)?neg(ative)?s?[-_]?\d*")
PART_IN_NAME = re.compile(r"([a-z]+)(?![a-z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairColumns:
    """Which column means what.

    Attributes:
        query: the query's text; the first of these names that the file has, in any case of letters.
        positive: the text that answers it; likewise.
        negatives: columns of texts, or of lists of texts, that do not; ``("auto",)`` takes those called negative, negatives, negative_1 ...
        score: rows above 0 are positives of that weight, the others are negatives of their query.
        part: names the part of each row.
    """

    query: tuple[str, ...]
    positive: tuple[str, ...]
    negatives: tuple[str, ...] = (AUTO,)
    score: str | None = None
    part: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Shares for validation and test, used where the rows name no such part: of the pairs; ``valid`` of the queries if there is a test."""

    valid: float
    test: float


def contents(files: Sequence[DataFile]) -> list[tuple[str, str]]:
    """Role (its part, if the name says one) and hash of each file."""
    return [(part_of(file) or "rows", hash_file(file.path)) for file in files]


def part_of(file: DataFile) -> str | None:
    """The part that a file's name begins with (``train.jsonl``, ``validation-00000-of-00001.parquet``), or None."""
    match = PART_IN_NAME.match(file.path.name.lower())
    return PARTS.get(match.group(1)) if match else None


def read_pairs(files: Sequence[DataFile], columns: PairColumns, shares: Shares, content: str) -> Tables:
    """The tables: distinct query texts are the queries ``q0, q1 ...``, distinct answers and negatives the items ``d0, d1 ...``.

    Raises:
        DataError: a file is malformed, a column is missing or of the wrong type, or no pair is left.
    """
    counts: Counter[str] = Counter()
    rows = pl.concat([_rows(file, columns) for file in files], how="diagonal")
    rows = drop_empty(rows, "query", "pairs with an empty query", counts)
    rows = drop_empty(rows, "positive", "pairs with an empty positive", counts)
    if columns.score:
        rows = _with_refused(drop_missing(rows, ("weight",), counts), counts)
    require_events(rows, files[0].name, counts)
    queries = number_texts(rows["query"], "q")
    items = number_texts(pl.concat([rows["positive"], rows["negatives"].explode()]), "d")
    events = rows.select(
        ids_of(rows["query"], queries).alias("query"),
        ids_of(rows["positive"], items).alias("item"),
        *(column for column in ("weight", "split") if column in rows.columns),
        *([_negative_ids(rows["negatives"], items)] if rows["negatives"].list.len().sum() else []),
    )
    events, split = _settled(events, shares)
    if "weight" in events.columns and (events["weight"] == 1).all():
        events = events.drop("weight")
    return Tables(
        queries=queries,
        items=items,
        interactions=_merged(events, counts),
        declaration=Declaration(queries=TEXT_FEATURE, items=TEXT_FEATURE, split=split),
        counts=told(counts),
        fingerprint=content,
        display="text",
    )


def _rows(file: DataFile, columns: PairColumns) -> pl.DataFrame:
    """Columns query, positive, negatives (List[String]) and, where there are any, weight and split."""
    frame = read_file(file, [], every=True)
    require_columns(file, frame.columns, [name for name in (columns.score, columns.part) if name])

    def cells(name: str) -> tuple[pl.Series, str]:
        return frame[name], f"{file.name}, column {name!r}"

    made = [
        as_text(*cells(_first(file, frame, columns.query, "query"))).alias("query"),
        as_text(*cells(_first(file, frame, columns.positive, "positive"))).alias("positive"),
        _negatives(file, frame, columns),
    ]
    part = part_of(file)
    if columns.score:
        made.append(_scores(*cells(columns.score)).alias("weight"))
    if columns.part:
        made.append(as_parts(*cells(columns.part)).alias("split"))
    elif part:
        made.append(pl.repeat(part, len(frame), dtype=pl.String, eager=True).alias("split"))
    return pl.DataFrame(made)


def _first(file: DataFile, frame: pl.DataFrame, names: tuple[str, ...], role: str) -> str:
    if len(names) == 1:
        require_columns(file, frame.columns, names)
        return names[0]
    for wanted in names:
        found = [name for name in frame.columns if name.lower() == wanted]
        if found:
            return found[0]
    raise DataError(
        f"{file.name}: no column is known to hold the {role} (known names: {', '.join(names)}); its columns are "
        f"{', '.join(frame.columns)}: name one with data.{role}=COLUMN"
    )


def _scores(column: pl.Series, where: str) -> pl.Series:
    numbers = as_numbers(column, where)
    weights = as_weights(numbers.clip(lower_bound=0), where)
    return weights.set(numbers.is_null(), None)


def _negatives(file: DataFile, frame: pl.DataFrame, columns: PairColumns) -> pl.Series:
    names = _negative_columns(frame, columns)
    require_columns(file, frame.columns, names)
    lists = [_as_list(frame[name], f"{file.name}, column {name!r}").alias(name) for name in names]
    if not lists:
        return pl.Series("negatives", [[]] * len(frame), dtype=pl.List(pl.String))
    joined = pl.DataFrame(lists).select(pl.concat_list(pl.all())).to_series()
    return joined.list.eval(pl.element().filter(pl.element().str.strip_chars().str.len_chars() > 0)).alias("negatives")


def _negative_columns(frame: pl.DataFrame, columns: PairColumns) -> list[str]:
    if columns.negatives != (AUTO,):
        return list(columns.negatives)
    return [name for name in frame.columns if NEGATIVE_COLUMN.fullmatch(name.lower())]


def _as_list(column: pl.Series, where: str) -> pl.Series:
    if isinstance(column.dtype, (pl.List, pl.Array)):
        return column.cast(pl.List(pl.String)).fill_null([])
    texts = as_text(column, where)
    return pl.DataFrame({"text": texts}).select(pl.concat_list("text")).to_series()


def _with_refused(rows: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Rows with a score above 0, the texts of their query's other rows added to their negatives."""
    refused = rows.filter(pl.col("weight") <= 0).group_by("query", maintain_order=True).agg(pl.col("positive").alias("refused"))
    kept = rows.filter(pl.col("weight") > 0)
    counts["queries without a positive"] += len(refused.join(kept, on="query", how="anti"))
    joined = kept.join(refused, on="query", how="left", maintain_order="left")
    negatives = pl.concat_list("negatives", pl.col("refused").fill_null([]))
    return joined.with_columns(negatives.alias("negatives")).drop("refused")


def _negative_ids(negatives: pl.Series, items: pl.DataFrame) -> pl.Series:
    rows = pl.DataFrame({"row": pl.int_range(len(negatives), eager=True), "text": negatives})
    found = rows.explode("text").join(items, on="text", how="inner", maintain_order="left")
    lists = found.group_by("row", maintain_order=True).agg(pl.col("id").unique(maintain_order=True).alias("negatives"))
    return rows.join(lists, on="row", how="left", maintain_order="left")["negatives"].fill_null([])


def _merged(events: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Each pair once, with the negatives of all its rows: triplets repeat a pair to name further negatives."""
    kept = drop_duplicates(events, counts)
    if "negatives" not in events.columns:
        return kept
    pair = [name for name in events.columns if name != "negatives"]
    named = events.group_by(pair, maintain_order=True).agg(pl.col("negatives").explode().drop_nulls().unique(maintain_order=True))
    return kept.drop("negatives").join(named, on=pair, how="left", nulls_equal=True, maintain_order="left")


def _settled(events: pl.DataFrame, shares: Shares) -> tuple[pl.DataFrame, SplitSpec]:
    """The events and their split: parts that are named count, those that are missing are drawn."""
    parts: Mapping[str, int] = {} if "split" not in events.columns else dict(events["split"].value_counts().iter_rows())
    given = SplitSpec(kind="given", valid=shares.valid)
    if "test" in parts:
        return events, given
    if "train" in parts and "valid" in parts:
        log.warning("the data has no test part: its validation part is the test, and validation is held out from training")
        return events.with_columns(pl.col("split").replace({"valid": "test"})), given
    if set(parts) == {"valid"}:
        raise DataError("the data has a validation part only: name a training or a test part")
    return events.drop("split", strict=False), SplitSpec(kind="random", valid=shares.valid, test=shares.test)
