"""The negatives of pairs of texts, each with a teacher's score where the data has one: a list of (text, teacher) structures a row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import polars as pl

from tt_hydra.data.columns import as_scores, as_text
from tt_hydra.data.reading import DataFile, require_columns
from tt_hydra.errors import DataError

AUTO = "auto"
NEGATIVE_COLUMN = re.compile(r"(hard_)?neg(ative)?s?[-_]?\d*")
NEGATIVE = pl.Struct({"text": pl.String, "teacher": pl.Float32})


def read_negatives(file: DataFile, frame: pl.DataFrame, texts: Sequence[str], scores: Sequence[str]) -> pl.Series:
    """The column ``negatives`` of a file's rows; blank texts are left out.

    Args:
        file: for messages.
        frame: its rows.
        texts: columns of texts or of lists of texts; ``("auto",)`` takes those called negative, negatives, negative_1 ...
        scores: columns of a teacher's scores of them, or none.

    Raises:
        DataError: a column is missing or of the wrong type, or a row does not have as many scores as texts.
    """
    names = [name for name in frame.columns if NEGATIVE_COLUMN.fullmatch(name.lower())] if tuple(texts) == (AUTO,) else list(texts)
    require_columns(file, frame.columns, [*names, *scores])
    if not names:
        return pl.Series("negatives", [[]] * len(frame), dtype=pl.List(NEGATIVE))
    found = _in_one([_texts(frame[name], f"{file.name}, column {name!r}") for name in names])
    teacher = _in_one([_scores(frame[name], f"{file.name}, column {name!r}") for name in scores]) if scores else None
    return _paired(found, _aligned(found, teacher, file.name))


def with_refused(rows: pl.DataFrame, counts: Counter[str]) -> pl.DataFrame:
    """Rows with a weight above 0, the texts of their query's other rows added to their negatives."""
    score = pl.col("teacher") if "teacher" in rows.columns else pl.lit(None, pl.Float32).alias("teacher")
    refused = rows.filter(pl.col("weight") <= 0).group_by("query", maintain_order=True)
    lists = refused.agg(pl.struct(pl.col("positive").alias("text"), score).alias("refused"))
    kept = rows.filter(pl.col("weight") > 0)
    counts["queries without a positive"] += len(lists.join(kept, on="query", how="anti"))
    joined = kept.join(lists, on="query", how="left", maintain_order="left")
    negatives = pl.concat_list("negatives", pl.col("refused").fill_null(pl.lit([], pl.List(NEGATIVE))))
    return joined.with_columns(negatives.alias("negatives")).drop("refused")


def negative_ids(negatives: pl.Series, items: pl.DataFrame) -> list[pl.Series]:
    """``negatives`` as lists of item ids, each once, and ``negatives_teacher`` where any has a score; nothing where there are none."""
    rows = pl.DataFrame({"row": pl.int_range(len(negatives), eager=True), "negative": negatives})
    every = rows.explode("negative").drop_nulls("negative").unnest("negative")
    if not len(every):
        return []
    return columns_of(every.join(items, on="text", how="inner", maintain_order="left"), len(negatives))


def columns_of(found: pl.DataFrame, size: int) -> list[pl.Series]:
    """``row``, ``id``, ``teacher`` as the columns ``negatives`` and ``negatives_teacher`` of so many rows; of equal ids the first stays."""
    once = found.unique(["row", "id"], keep="first", maintain_order=True)
    lists = once.group_by("row", maintain_order=True).agg(pl.col("id").alias("negatives"), pl.col("teacher").alias("negatives_teacher"))
    rows = pl.DataFrame({"row": pl.int_range(size, eager=True)})
    every = rows.join(lists.with_columns(pl.col("row").cast(pl.Int64)), on="row", how="left", maintain_order="left")
    columns = [every["negatives"].fill_null([])]
    return columns if once["teacher"].is_null().all() else [*columns, every["negatives_teacher"].fill_null([])]


def _in_one(lists: Sequence[pl.Series]) -> pl.Series:
    return pl.DataFrame([column.alias(str(number)) for number, column in enumerate(lists)]).select(pl.concat_list(pl.all())).to_series()


def _texts(column: pl.Series, where: str) -> pl.Series:
    if isinstance(column.dtype, (pl.List, pl.Array)):
        return column.cast(pl.List(pl.String)).fill_null([])
    return as_text(column, where).reshape((-1, 1)).arr.to_list()


def _scores(column: pl.Series, where: str) -> pl.Series:
    if not isinstance(column.dtype, (pl.List, pl.Array)):
        return as_scores(column, where).reshape((-1, 1)).arr.to_list()
    if not column.dtype.inner.is_numeric():
        raise DataError(f"{where} holds {column.dtype}: a teacher's scores are numbers, or lists of numbers")
    return column.cast(pl.List(pl.Float32)).list.eval(pl.element().fill_nan(None)).fill_null([])


def _aligned(texts: pl.Series, scores: pl.Series | None, name: str) -> pl.Series:
    """Scores in lists as long as those of the texts: as given, or missing where a row has none at all."""
    wanted = texts.list.len()
    found = wanted * 0 if scores is None else scores.list.len()
    bad = (found != wanted) & (found > 0)
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{name}, row {row + 1}: {wanted[row]} negatives, but {found[row]} scores of a teacher; each negative has one")
    missing = pl.select(pl.lit(None, pl.Float32).repeat_by(wanted)).to_series()
    return missing if scores is None else scores.zip_with(found > 0, missing)


def _paired(texts: pl.Series, scores: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "text": texts, "teacher": scores})
    flat = frame.explode("text", "teacher").filter(pl.col("text").str.strip_chars().str.len_chars() > 0)
    lists = flat.group_by("row", maintain_order=True).agg(pl.struct("text", "teacher").alias("negatives"))
    return frame.join(lists, on="row", how="left", maintain_order="left")["negatives"].fill_null(pl.Series([[]], dtype=pl.List(NEGATIVE)))
