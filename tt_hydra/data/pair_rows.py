"""Rows of (query, positive, negatives) texts as queries, items and interactions."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tt_hydra.data.columns import PARTS, as_numbers, as_parts, as_scores, as_text, as_weights
from tt_hydra.data.content import hash_file
from tt_hydra.data.declaration import Declaration, SplitSpec
from tt_hydra.data.events import drop_duplicates, drop_missing, require_events, told
from tt_hydra.data.pair_negatives import AUTO, columns_of, negative_ids, read_negatives, with_refused
from tt_hydra.data.reading import DataFile, read_file, require_columns
from tt_hydra.data.tables import Tables
from tt_hydra.data.texts import TEXT_FEATURE, drop_empty, ids_of, number_texts
from tt_hydra.errors import DataError

log = logging.getLogger(__name__)

PART_IN_NAME = re.compile(r"([a-z]+)(?![a-z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairColumns:
    """Which column means what.

    Attributes:
        query: the query's text; the first of these names that the file has, in any case of letters.
        positive: the text that answers it; likewise.
        negatives: columns of texts, or of lists of texts, that do not; ``("auto",)`` takes those called negative, negatives, negative_1 ...
        score: rows above 0 are positives of that weight, the others are negatives of their query.
        teacher: a teacher's score of the pair.
        negatives_teacher: columns of its scores of the negatives, or of lists of them, in their order.
        part: names the part of each row.
    """

    query: tuple[str, ...]
    positive: tuple[str, ...]
    negatives: tuple[str, ...] = (AUTO,)
    score: str | None = None
    teacher: str | None = None
    negatives_teacher: tuple[str, ...] = ()
    part: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Shares of the queries for validation and test, used where the rows name no such part."""

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
        rows = with_refused(drop_missing(rows, ("weight",), counts), counts)
    require_events(rows, files[0].name, counts)
    queries = number_texts(rows["query"], "q")
    named = rows["negatives"].explode().struct.field("text")
    items = number_texts(pl.concat([rows["positive"], named.alias("positive")]), "d")
    events = rows.select(
        ids_of(rows["query"], queries).alias("query"),
        ids_of(rows["positive"], items).alias("item"),
        *(column for column in ("weight", "split", "teacher") if column in rows.columns),
        *negative_ids(rows["negatives"], items),
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
    """Columns query, positive, negatives (of texts and scores) and, where there are any, weight, teacher and split."""
    frame = read_file(file, [], every=True)
    require_columns(file, frame.columns, [name for name in (columns.score, columns.teacher, columns.part) if name])

    def cells(name: str) -> tuple[pl.Series, str]:
        return frame[name], f"{file.name}, column {name!r}"

    made = [
        as_text(*cells(_first(file, frame, columns.query, "query"))).alias("query"),
        as_text(*cells(_first(file, frame, columns.positive, "positive"))).alias("positive"),
        read_negatives(file, frame, columns.negatives, columns.negatives_teacher),
    ]
    part = part_of(file)
    if columns.score:
        made.append(_weights(*cells(columns.score)).alias("weight"))
    if columns.teacher:
        made.append(as_scores(*cells(columns.teacher)).alias("teacher"))
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


def _weights(column: pl.Series, where: str) -> pl.Series:
    numbers = as_numbers(column, where)
    weights = as_weights(numbers.clip(lower_bound=0), where)
    return weights.set(numbers.is_null(), None)


def _merged(events: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Each pair once, with the negatives of all its rows: triplets repeat a pair to name further negatives."""
    if "negatives" not in events.columns:
        return drop_duplicates(events, counts)
    scored = "negatives_teacher" in events.columns
    lists = [name for name in ("negatives", "negatives_teacher") if name in events.columns]
    pair = [name for name in events.columns if name not in lists]
    numbered = events.with_columns(pl.struct(pair).rank("dense").alias("pair"))
    flat = numbered.select(pl.col("pair").alias("row"), *lists).explode(lists).drop_nulls("negatives")
    teacher = pl.col("negatives_teacher") if scored else pl.lit(None, pl.Float32)
    named = flat.select("row", pl.col("negatives").alias("id"), teacher.alias("teacher"))
    merged = pl.DataFrame(columns_of(named, len(events) + 1))
    kept = drop_duplicates(numbered.drop(lists), counts)
    return kept.drop("pair").hstack(merged[kept["pair"]])


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
