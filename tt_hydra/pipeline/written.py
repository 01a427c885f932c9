"""Files of items to write and of ids to delete: checked as a whole before anything happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tt_hydra.data.columns import as_ids
from tt_hydra.data.declaration import nearest
from tt_hydra.data.encoders import Multi, read_as_trained
from tt_hydra.data.reading import ENDINGS, DataFile, find_path, read_file
from tt_hydra.errors import DataError
from tt_hydra.pipeline.questions import TEXT_LINES, read_lines
from tt_hydra.serve.catalogue import ID, VECTOR
from tt_hydra.serve.served import Served


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """What shall be written.

    Attributes:
        rows: raw rows of items, in the types of the catalogue.
        given: by row what embeds it beside its columns: a ready-made vector.
        deleted: ids that leave.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    given: Sequence[Mapping[str, Any]] = field(default=())
    deleted: Sequence[str] = ()


def read_writing(served: Served, items: str | None, delete: str | None, name: str = ID) -> Writing:
    """What two files ask for.

    Args:
        served: the version whose catalogue it is: it says which columns there are.
        items: file of rows; None for none.
        delete: file of ids, one a line, or rows with their column; None for none.
        name: the column that holds ids.

    Raises:
        DataError: a file is missing, empty or malformed, an id occurs twice or in both, a column is unknown or missing, or a value does
            not fit its column.
    """
    rows = [] if items is None else list(_rows(served, items, name))
    deleted = [] if delete is None else _ids(delete, name)
    written = {row[ID] for row, _ in rows}
    both = [each for each in deleted if each in written]
    if both:
        raise DataError(f"{len(both)} ids are in {items} and in {delete}, the first is {both[0]!r}: write an item or delete it")
    return Writing(rows=[row for row, _ in rows], given=[given for _, given in rows], deleted=deleted)


def _rows(served: Served, path: str, name: str) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    frame = _frame(path, "items", name)
    if name not in (ID, *served.items.types):
        frame = frame.drop(name)
    _check_columns(served, frame, path)
    features = served.retriever.bundle.featurizer.items
    frame = read_as_trained(frame, features, path)
    lists = {
        each.name: each.sep
        for each in features
        if isinstance(each, Multi) and each.name in frame.columns and isinstance(served.items.types.get(each.name), pl.List)
    }
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        for column, sep in lists.items():
            if isinstance(row[column], str):
                row[column] = [each.strip() for each in row[column].split(sep) if each.strip()]
        try:
            kept = served.items.row({column: _empty(served, column, value) for column, value in row.items()})
        except DataError as error:
            raise DataError(f"{path}, row {number} (id {row[ID]!r}): {error}") from error
        yield kept, {**kept, VECTOR: row[VECTOR]} if row.get(VECTOR) is not None else kept


def _empty(served: Served, column: str, value: Any) -> Any:
    """A value as the file means it: an empty cell of a table of texts is a missing value where the column holds no text."""
    return None if value == "" and served.items.types.get(column) != pl.String else value


def _check_columns(served: Served, frame: pl.DataFrame, path: str) -> None:
    types = served.items.types
    for column in frame.columns:
        if column not in types and (column != VECTOR or served.has_towers):
            raise DataError(f"{path}: items have no column {column!r}{nearest(column, list(types))}; they have {', '.join(types)}")
    features = [each.name for each in served.retriever.bundle.featurizer.items] if served.has_towers else [VECTOR]
    missing = [each for each in features if each not in frame.columns and each not in served.items.identity]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))}: the item tower takes {', '.join(features)}. A row replaces the whole "
            "item, so give all of them; a missing value is an empty cell"
        )


def _ids(path: str, name: str) -> list[str]:
    file = DataFile(find_path(path, "delete"), path)
    if file.ending == TEXT_LINES:
        return list(dict.fromkeys(text for _, text in read_lines(file)))
    return list(dict.fromkeys(_frame(path, "delete", name, TEXT_LINES)[ID].to_list()))


def _frame(path: str, key: str, name: str, *more: str) -> pl.DataFrame:
    """The rows of a file, its ids as texts under ``id``."""
    file = DataFile(find_path(path, key), path)
    if file.ending not in ENDINGS:
        raise DataError(f"{key}={path}: unknown format; the file's name must end in one of {', '.join((*more, *ENDINGS))}")
    frame = read_file(file, (), every=True)
    if name not in frame.columns:
        raise DataError(f"{path}: no column {name!r}{nearest(name, frame.columns)}; name the column that holds ids with id=COLUMN")
    frame = frame.with_columns(as_ids(frame[name], f"{path}, column {name!r}").alias(ID))
    if frame[ID].null_count():
        raise DataError(f"{path}, row {(frame[ID].is_null().arg_max() or 0) + 1}: there is no id")
    twice = frame.filter(frame[ID].is_duplicated())[ID]
    if len(twice) and key == "items":
        raise DataError(f"{path}: {twice.n_unique()} ids occur more than once, the first is {twice[0]!r}; give each item one row")
    return frame
