"""Pairs of texts: rows of a query, a positive and perhaps negatives, in Parquet, CSV, TSV or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass

from tt_hydra.data.content import fingerprint
from tt_hydra.data.declaration import check_share
from tt_hydra.data.pair_negatives import AUTO
from tt_hydra.data.pair_rows import PairColumns, Shares, contents, part_of, read_pairs
from tt_hydra.data.reading import DataFile, find_files
from tt_hydra.data.tables import Tables
from tt_hydra.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Distinct query texts become queries, distinct answers and negatives become items.

    Attributes:
        path: file, or folder of files of one format; names that begin with train, valid or dev, test say their part.
        query: column of the query's text.
        positive: column of the text that answers it.
        negatives: column (texts, or lists of texts) or columns of what does not; ``auto``: those called negative, negatives,
            negative_1 ...; None: none.
        score: column; rows above 0 are positives of that weight, the others are negatives of their query.
        teacher: column of a teacher's score of the pair, for losses that learn from it.
        negatives_teacher: column (numbers, or lists of numbers) or columns of its scores of the negatives, in their order.
        part: column that says train, valid or test.
        valid_share: share of the pairs (or of the training queries, where a test part is named) for validation where none is named.
        test_share: share of the pairs for the test where none is named.
    """

    path: str | None = None
    query: str = "query"
    positive: str = "positive"
    negatives: str | tuple[str, ...] | None = AUTO
    score: str | None = None
    teacher: str | None = None
    negatives_teacher: str | tuple[str, ...] | None = None
    part: str | None = None
    valid_share: float = 0.1
    test_share: float = 0.1

    def __post_init__(self) -> None:
        check_shares(self.valid_share, self.test_share)

    def fingerprint(self) -> str:
        """Hash of the contents of the files and of the arguments."""
        return fingerprint(self, contents(self._files()))

    def read(self) -> Tables:
        """The tables, checked.

        Raises:
            DataError: a file is missing or malformed, or does not hold what is declared.
        """
        files = self._files()
        columns = PairColumns(
            query=(self.query,),
            positive=(self.positive,),
            negatives=column_names(self.negatives),
            score=self.score,
            teacher=self.teacher,
            negatives_teacher=column_names(self.negatives_teacher),
            part=self.part,
        )
        return read_pairs(files, columns, Shares(valid=self.valid_share, test=self.test_share), fingerprint(self, contents(files)))

    def _files(self) -> list[DataFile]:
        files = find_files(self.path, "data.path")
        return check_parts(files, str(self.path)) if self.part is None and len(files) > 1 else files


def check_shares(valid: float, test: float) -> None:
    """Raises ConfigError unless the two shares leave something to train on."""
    check_share("data.valid_share", valid)
    check_share("data.test_share", test)
    if valid + test >= 1:
        raise ConfigError(f"data.valid_share={valid} and data.test_share={test} leave nothing to train on")


def column_names(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """A key of one column or of several as column names."""
    if columns is None:
        return ()
    return (columns,) if isinstance(columns, str) else tuple(columns)


def check_parts(files: list[DataFile], name: str) -> list[DataFile]:
    """The files, if all of them or none say their part; raises DataError otherwise."""
    silent = [file.path.name for file in files if part_of(file) is None]
    if silent and len(silent) < len(files):
        raise DataError(f"{name}: {silent[0]} does not say its part, but other files do; let its name begin with train, valid or test")
    return files
