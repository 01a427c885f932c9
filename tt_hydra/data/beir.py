"""A text retrieval data set in the BEIR layout: a folder or zip of corpus, queries and judgements."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.data.beir_layout import BeirFiles, BeirTables, is_beir, locate, read_beir
from tt_hydra.data.content import fingerprint
from tt_hydra.data.declaration import Declaration, SplitSpec, check_share
from tt_hydra.data.reading import find_path
from tt_hydra.data.tables import Tables
from tt_hydra.data.texts import TEXT_FEATURE
from tt_hydra.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Beir:
    """``corpus.jsonl``, ``queries.jsonl`` and ``qrels/{train,dev,test}.tsv``; a document's text is its title and its text.

    Judgements above 0 are positives, their score is the gain and the weight; judgements of 0 count as not judged.

    Attributes:
        path: the folder, or a zip of it.
        test_split: judgements that are the test part.
        valid_share: share of the training queries held out for validation where there are no ``dev`` judgements.
        skip_unknown: drop judgements that name no document or query, instead of refusing them.
    """

    path: str | None = None
    test_split: str = "test"
    valid_share: float = 0.1
    skip_unknown: bool = False

    def __post_init__(self) -> None:
        check_share("data.valid_share", self.valid_share)
        if self.test_split in ("train", "dev"):
            raise ConfigError(f"data.test_split={self.test_split}: these judgements train or validate, so they cannot test")

    def fingerprint(self) -> str:
        """Hash of the contents of the files and of the arguments."""
        with self._files() as files:
            return fingerprint(self, files.contents())

    def read(self) -> Tables:
        """The tables, checked.

        Raises:
            DataError: a file is missing or malformed, or a judgement names what is not there.
        """
        with self._files() as files:
            read = read_beir(files, self.skip_unknown)
            content = fingerprint(self, files.contents())
        return beir_tables(read, self.valid_share, content)

    @contextmanager
    def _files(self) -> Iterator[BeirFiles]:
        path = find_path(self.path, "data.path")
        if path.is_dir():
            yield locate(_root(path), str(self.path), self.test_split)
            return
        with tempfile.TemporaryDirectory() as scratch:
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(scratch)
            except (zipfile.BadZipFile, OSError) as error:
                raise DataError(f"data.path={self.path} is no folder and no readable zip: {error}") from error
            yield locate(_root(Path(scratch)), str(self.path), self.test_split)


def beir_tables(read: BeirTables, valid_share: float, content: str) -> Tables:
    """What was read, declared: one text on either side, the parts named by the data."""
    return Tables(
        queries=read.queries,
        items=read.items,
        interactions=read.interactions,
        declaration=Declaration(queries=TEXT_FEATURE, items=TEXT_FEATURE, split=SplitSpec(kind="given", valid=valid_share)),
        counts=read.counts,
        fingerprint=content,
        display=read.display,
    )


def _root(folder: Path) -> Path:
    """The folder that holds the corpus: this one, or the only one in it that does."""
    below = [] if is_beir(folder) else [path for path in folder.iterdir() if path.is_dir() and is_beir(path)]
    return below[0] if len(below) == 1 else folder
