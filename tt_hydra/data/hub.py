"""A data set of texts from the Hugging Face hub, or a local copy of one: rows of pairs, or the BEIR layout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tt_hydra.data.beir import beir_tables
from tt_hydra.data.beir_layout import BeirFiles, is_beir, locate, read_beir
from tt_hydra.data.content import fingerprint
from tt_hydra.data.declaration import nearest
from tt_hydra.data.download import cache_folder
from tt_hydra.data.pair_negatives import AUTO
from tt_hydra.data.pair_rows import PairColumns, Shares, contents, read_pairs
from tt_hydra.data.pairs import check_parts, check_shares, column_names
from tt_hydra.data.reading import ENDINGS, DataFile
from tt_hydra.data.tables import Tables
from tt_hydra.errors import ConfigError, DataError

QUERY_NAMES = ("query", "anchor", "question", "sentence1", "sentence_a", "text1", "title")
POSITIVE_NAMES = ("positive", "pos", "answer", "passage", "document", "context", "sentence2", "sentence_b", "text2", "abstract")
HELD = tuple(f"{ending}{packed}" for ending in ENDINGS for packed in ("", ".gz"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """A data set by its id on the hub (``sentence-transformers/all-nli``), or the path of a folder that holds one.

    Rows of pairs are read as by ``pairs``; files whose names begin with train, validation, test say their part. A folder with a corpus
    and queries is read as by ``beir``; its judgements may also lie in a data set of the same id that ends in ``-qrels``.

    Attributes:
        path: id, or folder or file.
        subset: folder of the data set that holds one of several configurations.
        revision: commit, branch or tag on the hub; None: the newest.
        query: column of the query's text; None: the first of the usual names (query, anchor, question ...).
        positive: column of the text that answers it; None: the first of the usual names (positive, answer, passage ...).
        negatives: as in ``pairs``.
        score: as in ``pairs``.
        teacher: as in ``pairs``.
        negatives_teacher: as in ``pairs``.
        valid_share: as in ``pairs``.
        test_share: as in ``pairs``.
    """

    path: str | None = None
    subset: str | None = None
    revision: str | None = None
    query: str | None = None
    positive: str | None = None
    negatives: str | tuple[str, ...] | None = AUTO
    score: str | None = None
    teacher: str | None = None
    negatives_teacher: str | tuple[str, ...] | None = None
    valid_share: float = 0.1
    test_share: float = 0.1

    def __post_init__(self) -> None:
        check_shares(self.valid_share, self.test_share)

    def fingerprint(self) -> str:
        """Hash of the contents of the files and of the arguments."""
        found = self._locate()
        return fingerprint(self, found.contents() if isinstance(found, BeirFiles) else contents(found))

    def read(self) -> Tables:
        """The tables, checked.

        Raises:
            DataError: the data set cannot be fetched, has neither layout, or does not hold what is declared.
        """
        found = self._locate()
        if isinstance(found, BeirFiles):
            return beir_tables(read_beir(found, skip_unknown=False), self.valid_share, fingerprint(self, found.contents()))
        columns = PairColumns(
            query=QUERY_NAMES if self.query is None else (self.query,),
            positive=POSITIVE_NAMES if self.positive is None else (self.positive,),
            negatives=column_names(self.negatives),
            score=self.score,
            teacher=self.teacher,
            negatives_teacher=column_names(self.negatives_teacher),
        )
        return read_pairs(found, columns, Shares(valid=self.valid_share, test=self.test_share), fingerprint(self, contents(found)))

    def _locate(self) -> BeirFiles | list[DataFile]:
        if self.path is None:
            raise DataError("data.path is not set: give the id of a data set on the Hugging Face hub, or a folder")
        local = Path(self.path).expanduser()
        if local.is_file():
            return [DataFile(local, self.path)]
        folder = local if local.is_dir() else self._fetched(self.path)
        if not is_beir(folder):
            return check_parts(_pair_files(folder, self.path, self.subset), self.path)
        unread = [
            name for name in ("subset", "query", "positive", "score", "teacher", "negatives_teacher") if getattr(self, name) is not None
        ]
        if unread:
            raise ConfigError(f"data.{unread[0]} is set, but {self.path} has the BEIR layout, where it means nothing: leave it null")
        fetched = not local.is_dir() and not (folder / "qrels").is_dir()
        return locate(folder, self.path, "test", self._fetched(f"{self.path}-qrels") if fetched else None)

    def _fetched(self, name: str) -> Path:
        """The data set's folder, fetched into the hub's cache (into ``TT_HYDRA_CACHE`` where that is set)."""
        try:
            from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy, and only needed here
        except ImportError as error:
            raise DataError(f"data.path={name} is no local folder, and fetching it needs: pip install huggingface_hub") from error
        below = f"{self.subset}/" if self.subset else ""
        where = cache_folder() / "hub" if os.environ.get("TT_HYDRA_CACHE") else None
        try:
            wanted = [f"{below}*{ending}" for ending in HELD]
            return Path(snapshot_download(name, repo_type="dataset", revision=self.revision, allow_patterns=wanted, cache_dir=where))
        except Exception as error:
            raise DataError(
                f"data.path={name} is no folder here, and the Hugging Face hub did not give a data set of that id: "
                f"{str(error).strip().splitlines()[0]}; a local copy works too, as data.path=FOLDER"
            ) from error


def _pair_files(folder: Path, name: str, subset: str | None) -> list[DataFile]:
    """The files of rows in a folder, in its folder ``subset``, in ``data``, or in its only folder that has any."""
    holders = {path.name: _held(path) for path in sorted(folder.iterdir()) if path.is_dir() and _held(path)}
    if subset is not None:
        if subset not in holders:
            raise DataError(f"{name} has no subset {subset!r}{nearest(subset, holders)}; it has {', '.join(holders) or 'none'}")
        return holders[subset]
    found = _held(folder) or holders.get("data") or (next(iter(holders.values())) if len(holders) == 1 else [])
    if not found:
        hint = f"choose one with data.subset: {', '.join(holders)}" if holders else f"files of rows end in {', '.join(ENDINGS)}"
        raise DataError(f"{name} holds no files of rows by itself; {hint}")
    return found


def _held(folder: Path) -> list[DataFile]:
    files = [DataFile(path, path.name) for path in sorted(folder.iterdir()) if path.is_file()]
    return [file for file in files if file.ending in ENDINGS]
