"""The BEIR layout (Thakur et al., 2021): ``corpus``, ``queries`` and ``qrels/<split>``, graded, as tables of texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tt_hydra.data.columns import check_unique_ids
from tt_hydra.data.content import hash_file
from tt_hydra.data.declaration import nearest
from tt_hydra.data.events import told
from tt_hydra.data.reading import ENDINGS, DataFile, read_rows, read_texts
from tt_hydra.errors import DataError

QRELS_COLUMNS = ("query-id", "corpus-id", "score")
TREC_WIDTH = 4


@dataclass(frozen=True, slots=True)
class BeirFiles:
    """The files of a data set; ``qrels`` by part (train, valid, test), a part without a file left out."""

    corpus: tuple[DataFile, ...]
    queries: tuple[DataFile, ...]
    qrels: Mapping[str, tuple[DataFile, ...]]

    def contents(self) -> Iterator[tuple[str, str]]:
        """Role and hash of each file."""
        for role, files in {"corpus": self.corpus, "queries": self.queries, **self.qrels}.items():
            yield from ((role, hash_file(file.path)) for file in files)


@dataclass(frozen=True, slots=True)
class BeirTables:
    """Queries (``id``, ``text``), items (``id``, ``text``, ``title``), interactions (``query``, ``item``, ``split``[, ``weight``])."""

    queries: pl.DataFrame
    items: pl.DataFrame
    interactions: pl.DataFrame
    counts: Mapping[str, int]

    @property
    def display(self) -> str:
        """The column to print as a title."""
        return "title" if (self.items["title"] != "").any() else "text"


def is_beir(folder: Path) -> bool:
    """Whether a folder holds a corpus and queries."""
    return bool(_files(folder, "corpus", "") and _files(folder, "queries", ""))


def locate(folder: Path, name: str, test_split: str, qrels: Path | None = None) -> BeirFiles:
    """The files of a data set.

    Args:
        folder: where corpus and queries lie.
        name: what messages call the folder.
        test_split: name of the judgements that are the test part.
        qrels: folder of the judgements; None: ``qrels`` in ``folder``.

    Raises:
        DataError: corpus, queries or the test judgements are not there.
    """
    corpus, queries = _files(folder, "corpus", name), _files(folder, "queries", name)
    if not corpus or not queries:
        missing = "queries" if corpus else "corpus"
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise DataError(f"{name} has no {missing}.jsonl: the BEIR layout is corpus.jsonl, queries.jsonl, qrels/test.tsv; it holds {there}")
    judged = qrels or folder / "qrels"
    splits = {"train": "train", "valid": "dev", "test": test_split}
    parts = {part: files for part, split in splits.items() if (files := _files(judged, split, f"{name}/qrels"))}
    if "test" not in parts:
        present = sorted({path.name.split(".")[0] for path in judged.iterdir()}) if judged.is_dir() else []
        raise DataError(
            f"{name}/qrels has no {test_split}.tsv{nearest(test_split, present)}: data.test_split names the judgements that are the test "
            f"part; there are {', '.join(present) or 'none'}"
        )
    return BeirFiles(corpus, queries, parts)


def read_beir(files: BeirFiles, skip_unknown: bool) -> BeirTables:
    """The tables; only queries with a positive judgement are kept.

    Args:
        files: what to read.
        skip_unknown: drop and count judgements that name no document or no query of the data set, instead of refusing them.

    Raises:
        DataError: a file is malformed, an id occurs twice, or a judgement names what is not there.
    """
    counts: Counter[str] = Counter()
    items = _texts(files.corpus, ("title", "text"))
    text = pl.concat_str(["title", "text"], separator=" ").str.strip_chars()
    items = items.select("id", text.alias("text"), "title")
    queries = _texts(files.queries, ("text",))
    counts["documents with an empty text"] = int((items["text"] == "").sum())
    judged = [_judgements(part, each, items, queries, skip_unknown, counts) for part, each in files.qrels.items()]
    events = pl.concat(judged)
    kept = queries.filter(pl.col("id").is_in(events["query"].unique().implode()))
    counts["queries without a positive judgement"] = len(queries) - len(kept)
    counts["queries with an empty text"] = int((kept["text"] == "").sum())
    graded = bool((events["weight"] != 1).any())
    return BeirTables(kept, items, events if graded else events.drop("weight"), told(counts))


def _files(folder: Path, stem: str, name: str) -> tuple[DataFile, ...]:
    """``stem`` with a known ending, the parts ``stem-00000-of-00002``, or all files in the folder ``stem``."""
    if not folder.is_dir():
        return ()
    parts = re.compile(re.escape(stem) + r"(-\d+-of-\d+)?(" + "|".join(re.escape(ending) for ending in ENDINGS) + r")(\.gz)?")
    found = sorted(path for path in folder.iterdir() if path.is_file() and parts.fullmatch(path.name))
    if not found and (folder / stem).is_dir():
        return tuple(DataFile(file.path, f"{name}/{stem}/{file.path.name}") for file in _all_files(folder / stem))
    return tuple(DataFile(path, f"{name}/{path.name}") for path in found)


def _all_files(folder: Path) -> list[DataFile]:
    files = [DataFile(path, path.name) for path in sorted(folder.iterdir()) if path.is_file()]
    return [file for file in files if file.ending in ENDINGS]


def _texts(files: Sequence[DataFile], columns: tuple[str, ...]) -> pl.DataFrame:
    optional = [column for column in columns if column == "title"]
    required = ["_id", *(column for column in columns if column != "title")]
    frame = read_texts(files, required, optional).rename({"_id": "id"})
    check_unique_ids(frame["id"], f"{files[0].name}, _id")
    return frame.with_columns(pl.col(columns).fill_null(""))


def _judgements(
    part: str, files: Sequence[DataFile], items: pl.DataFrame, queries: pl.DataFrame, skip_unknown: bool, counts: Counter[str]
) -> pl.DataFrame:
    rows = pl.concat([_rows(file) for file in files])
    name = files[0].name
    for column, known, what in (("item", items, "document of the corpus"), ("query", queries, "query")):
        there = rows[column].is_in(known["id"].implode()).fill_null(False)
        if not there.all() and not (skip_unknown and there.any()):
            first = rows.filter(~there)[column][0]
            raise DataError(
                f"{name}: {int((~there).sum())} of {len(rows)} rows name no {what}, the first is {first!r}; mend the files, or drop such "
                "rows with data.skip_unknown=true"
            )
        counts[f"judgements that name no {what}"] += int((~there).sum())
        rows = rows.filter(there)
    distinct = rows.unique(["query", "item"], keep="first", maintain_order=True)
    positive = distinct.filter(pl.col("weight") > 0)
    counts["duplicate judgements"] += len(rows) - len(distinct)
    counts["judgements with score 0"] += len(distinct) - len(positive)
    return positive.with_columns(pl.lit(part).alias("split"))


def _rows(file: DataFile) -> pl.DataFrame:
    """Columns ``query``, ``item``, ``weight`` of a file of judgements, with or without a header line."""
    if file.ending != ".tsv":
        frame, header = read_texts([file], QRELS_COLUMNS), 1
        frame = frame.rename(dict(zip(QRELS_COLUMNS, ("query", "item", "score"), strict=True)))
    else:
        frame, header = _tab_separated(file)
    scores = frame["score"].cast(pl.Float64, strict=False)
    bad = ~scores.is_finite().fill_null(False)
    if bad.any():
        row = bad.arg_max() or 0
        raise DataError(f"{file.name}: the score in line {row + 1 + header} is {frame['score'][row]!r}, which is no number")
    return frame.select("query", "item", scores.cast(pl.Float32).alias("weight"))


def _tab_separated(file: DataFile) -> tuple[pl.DataFrame, int]:
    rows = read_rows(file)
    if not 2 <= rows.width <= TREC_WIDTH:
        raise DataError(f"{file.name} has {rows.width} column(s); judgements are query-id, corpus-id, score, separated by tabs")
    names = {2: ("query", "item"), 3: ("query", "item", "score"), TREC_WIDTH: ("query", "round", "item", "score")}[rows.width]
    frame = rows.rename(dict(zip(rows.columns, names, strict=True)))
    header = int(re.fullmatch(r"(?i)q(uery)?[-_]?id|query|qid", str(frame["query"][0])) is not None)
    frame = frame[header:]
    if len(frame) == 0:
        raise DataError(f"{file.name} has a header but no rows")
    return (frame if "score" in names else frame.with_columns(pl.lit("1").alias("score"))), header
