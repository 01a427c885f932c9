"""Files of questions: what ``search`` and ``embed`` read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tt_hydra.data.reading import ENDINGS, JSON_LINES, DataFile, find_path, read_file
from tt_hydra.errors import DataError
from tt_hydra.serve.query import Query

TEXT_LINES = ".txt"
NAMES = ("id", "_id")
INPUTS = ("text", "query_id", "features", "history", "context")


@dataclass(frozen=True, slots=True)
class Question:
    """A query and what results call it."""

    name: str
    query: Query


def read_questions(path: str, key: str) -> list[Question]:
    """The questions of a file.

    A ``.txt`` file has a query text in each line, named by its number. In JSON lines, CSV, TSV and Parquet each row may have the
    columns ``id`` (or ``_id``: its name, and a known query's id where nothing else is given), ``text``, ``query_id``, ``features``,
    ``history`` and ``context``.

    Args:
        path: of the file.
        key: the config key that names it, for messages.

    Raises:
        DataError: there is no such file, it is empty or malformed, or a row asks nothing.
    """
    file = DataFile(find_path(path, key), path)
    if file.ending == TEXT_LINES:
        return [Question(str(number), Query(text=text)) for number, text in read_lines(file)]
    return [_question(number, row, path) for number, row in _rows(file)]


def read_lines(file: DataFile) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers.

    Raises:
        DataError: there is none, or the file is not UTF-8.
    """
    try:
        text = file.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not UTF-8: {error}") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{file.name} is empty: one text in each line")
    return [(number, line.strip()) for number, line in lines]


def _rows(file: DataFile) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if file.ending in JSON_LINES and file.path.suffix in JSON_LINES:
        yield from _json_rows(file)
    elif file.ending in ENDINGS:
        yield from enumerate(read_file(file, (), every=True).iter_rows(named=True), start=1)
    else:
        raise DataError(f"{file.name}: unknown format; the file's name must end in one of {TEXT_LINES}, {', '.join(ENDINGS)}")


def _json_rows(file: DataFile) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in read_lines(file):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file.name}, line {number}: {error}") from error
        if not isinstance(row, Mapping):
            raise DataError(f'{file.name}, line {number}: an object is needed, such as {{"id": "q1", "text": "..."}}; got {line[:80]}')
        yield number, row


def _question(number: int, row: Mapping[str, Any], name: str) -> Question:
    own = next((str(row[key]) for key in NAMES if row.get(key) is not None), None)
    asked = {key: row[key] for key in INPUTS if row.get(key) is not None}
    if not asked and own is None:
        raise DataError(f"{name}, row {number} asks nothing: it needs one of {', '.join((*NAMES, *INPUTS))}; it has {', '.join(row)}")
    asked = asked or {"query_id": own}
    if "query_id" in asked:
        asked["query_id"] = str(asked["query_id"])
    return Question(own or str(asked.get("query_id", number)), Query(**asked))
