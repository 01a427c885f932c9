"""What samplers may know of the training part: its questions, their positives, the texts, and which items are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tt_hydra.contracts import IntArray, Ragged, TrainingView
from tt_hydra.data.encoded import Column, EncodedTable

if TYPE_CHECKING:
    from tt_hydra.data.dataset import Dataset

BETWEEN = " "
"""Between the texts of one row."""


def training_view(dataset: Dataset) -> TrainingView:
    """What a sampler may know of a data set.

    A question is a query with the text of the event, where events carry texts. Where a query is nothing but a text, texts that differ
    in case and spaces only are one question, whose positives are those of all its spellings.
    """
    questions, first = asked(dataset)
    has_texts = dataset.query_table.text_names or dataset.context_table.text_names
    return TrainingView(
        counts=dataset.counts,
        questions=questions,
        known=_known(dataset, questions, first),
        question_texts=partial(question_texts, dataset, first) if has_texts else None,
        item_texts=partial(item_texts, dataset) if dataset.catalogue.table.text_names else None,
        only_text=dataset.schema.query.only_text,
        content=partial(content, dataset),
    )


def asked(dataset: Dataset) -> tuple[IntArray, IntArray]:
    """The question of each training example, ``(examples,)``, and the first example of each question, ``(questions,)``."""
    queries, context = dataset.train.query_rows, dataset.context_table
    numbers = queries
    if dataset.schema.query.only_text and not context.text_names:
        numbers = _ranks(normalised(_joined(dataset.query_table)))[queries]
    elif context.text_names:
        texts = _ranks(_joined(context).gather(dataset.train.positions))
        numbers = queries * (int(texts.max(initial=0)) + 1) + texts
    _, first, questions = np.unique(numbers, return_index=True, return_inverse=True)
    return questions.astype(np.int64), first.astype(np.int64)


def question_texts(dataset: Dataset, first: IntArray) -> Sequence[str]:
    """All texts of each question in one string; ``first`` is an example of each."""
    parts = []
    if dataset.query_table.text_names:
        parts.append(_joined(dataset.query_table).gather(dataset.train.query_rows[first]))
    if dataset.context_table.text_names:
        parts.append(_joined(dataset.context_table).gather(dataset.train.positions[first]))
    return _join(parts).to_list()


def item_texts(dataset: Dataset) -> Sequence[str]:
    """All texts of each item in one string."""
    return _joined(dataset.catalogue.table).to_list()


def content(dataset: Dataset) -> IntArray:
    """``(num_items,)`` equal numbers below ``num_items`` for items whose features agree, texts up to case and spaces.

    Statistics play no part. Nor does an id among the features where there are texts: one text under two ids is one content. An item
    whose texts are all blank says too little to be the same as another.
    """
    table = dataset.catalogue.table
    identity = _identity(dataset) if table.text_names else ()
    numbers = np.zeros(table.size, np.int64)
    for name, column in table.columns.items():
        if name not in identity:
            numbers = _finer(numbers, _values(column))
    blank = np.full(table.size, bool(table.text_names))
    for name in table.text_names:
        texts = normalised(table.texts(name))
        numbers = _finer(numbers, _ranks(texts))
        blank &= (texts == "").fill_null(value=True).to_numpy()
    return _finer(numbers, np.where(blank, 1 + np.arange(table.size), 0))


def normalised(texts: pl.Series) -> pl.Series:
    """Texts without differences of case, of spaces and of ways to write one character."""
    return texts.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def _known(dataset: Dataset, questions: IntArray, first: IntArray) -> Ragged:
    """By question, the training positives of every query that asks it: sorted, distinct."""
    queries = dataset.train.query_rows
    if np.array_equal(queries[first][questions], queries):
        return dataset.known.take(queries[first])
    askers = np.unique(np.stack([questions, queries], axis=1), axis=0)
    positives = dataset.known.take(askers[:, 1])
    owners = np.repeat(askers[:, 0], np.diff(positives.offsets))
    pairs = np.unique(owners * dataset.num_items + positives.values.astype(np.int64))
    offsets = np.searchsorted(pairs, np.arange(len(first) + 1) * dataset.num_items)
    return Ragged(pairs % dataset.num_items, offsets)


def _joined(table: EncodedTable) -> pl.Series:
    return _join([table.texts(name) for name in table.text_names])


def _join(columns: Iterable[pl.Series]) -> pl.Series:
    frame = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(columns)])
    return frame.select(pl.concat_str(pl.all().replace("", None), separator=BETWEEN, ignore_nulls=True).alias("text"))["text"]


def _ranks(values: pl.Series) -> IntArray:
    """Numbers that are equal for equal values."""
    return values.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _finer(numbers: IntArray, more: IntArray) -> IntArray:
    """Numbers that are equal where both are."""
    joint: IntArray = np.unique(numbers * (int(more.max(initial=0)) + 1) + more, return_inverse=True)[1].astype(np.int64)
    return joint


def _values(column: Column) -> IntArray:
    """Numbers that are equal for equal rows of a column; the order of several categories does not matter."""
    if isinstance(column, Ragged):
        rows = column.owners()
        lists = pl.DataFrame({"row": rows, "code": column.values}).group_by("row").agg(pl.col("code").sort().cast(pl.String).str.join(","))
        every = pl.DataFrame({"row": np.arange(len(column))}).join(lists, on="row", how="left", maintain_order="left")
        return _ranks(every["code"])
    _, numbers = np.unique(column, axis=0, return_inverse=True)
    flat: IntArray = numbers.reshape(-1).astype(np.int64)
    return flat


def _identity(dataset: Dataset) -> tuple[str, ...]:
    """Features that are the id of the item."""
    ids, encoded = dataset.item_ids, dataset.catalogue.table.columns
    columns = [column for column in dataset.display if column.name in encoded and not column.dtype.is_nested()]
    return tuple(column.name for column in columns if (column.cast(pl.String, strict=False) == ids).all())
