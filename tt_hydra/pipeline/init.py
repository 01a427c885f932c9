"""init: a data file for tables of one's own, guessed from what they hold."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.data.guess.draft import Draft, draft
from tt_hydra.data.guess.page import page
from tt_hydra.data.guess.side import Given
from tt_hydra.data.reading import find_files, read_files
from tt_hydra.errors import ConfigError, DataError

NAME = re.compile(r"\w[\w-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class InitSettings:
    """What is read, and where the data file goes.

    Attributes:
        interactions: file, or folder of files of one format: one row is one event, in which a query found an item.
        items: the same of the items, one row for each; None for no more than their ids.
        queries: the same of the queries (users).
        output: ``DIR/data/NAME.yaml``, which ``--config-dir=DIR data=NAME`` then finds.
        force: replace a file of that name.
    """

    interactions: str
    items: str | None = None
    queries: str | None = None
    output: str = "conf/data/mine.yaml"
    force: bool = False

    def __post_init__(self) -> None:
        path = Path(self.output)
        if path.parent.name != "data" or path.suffix != ".yaml" or not NAME.fullmatch(path.stem):
            raise ConfigError(
                f"output={self.output}: a data file is called DIR/data/NAME.yaml, such as output=conf/data/mine.yaml, so that "
                "--config-dir=DIR data=NAME finds it; NAME has letters, digits, - and _"
            )


@dataclass(frozen=True, slots=True)
class Written:
    """A data file.

    Attributes:
        path: where it is.
        command: the command line that runs it.
        questions: keys that must be filled in before.
        draft: what was guessed.
    """

    path: Path
    command: str
    questions: tuple[str, ...]
    draft: Draft


def init(settings: InitSettings, taken: Collection[str]) -> Written:
    """Reads the tables and writes the file.

    Args:
        settings: what and where.
        taken: names of data options that are ours.

    Raises:
        ConfigError: the file exists, or has the name of an option of ours.
        DataError: a table is missing, malformed or empty, or no columns of two tables hold the same ids.
    """
    path = Path(settings.output).expanduser()
    if path.stem in taken:
        names = ", ".join(sorted(taken))
        raise ConfigError(f"output={settings.output}: data={path.stem} is an option of ours, as are {names}; choose another name")
    if path.exists() and not settings.force:
        raise ConfigError(f"output={settings.output} exists already: give another name, or force=true to replace it")
    interactions = _given(settings.interactions, "interactions")
    items = None if settings.items is None else _given(settings.items, "items")
    queries = None if settings.queries is None else _given(settings.queries, "queries")
    found = draft(interactions, items, queries)
    command = shlex.join(["python", "-m", "tt_hydra", f"--config-dir={path.parent.parent}", f"data={path.stem}"])
    made = page(found, command)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made.text, encoding="utf-8")
    return Written(path, command, made.questions, found)


def _given(path: str, key: str) -> Given:
    frame = read_files(find_files(path, key), [], every=True)
    if not frame.width:
        raise DataError(f"{key}={path} has no columns")
    return Given(path, frame)
