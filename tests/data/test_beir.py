"""The BEIR layout: graded judgements, optional parts, and judgements that name what is not there."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tt_hydra.data.beir import Beir
from tt_hydra.data.declaration import FeatureSpec, SplitSpec
from tt_hydra.errors import ConfigError, DataError

CORPUS = [
    {"_id": "d1", "title": "Ünïcode", "text": "first text", "metadata": {"year": 1}},
    {"_id": "d2", "text": "no title", "metadata": "of another type"},
    {"_id": "d3", "title": "", "text": ""},
    {"_id": "d4", "title": "only title"},
]
QUERIES = [{"_id": f"q{number}", "text": f"query {number}"} for number in range(1, 6)]
TRAIN = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t2\nq2\td4\t0\nq1\td1\t1\n"
TEST = "q3\td2\t1\r\nq4\td1\t1\r\n"


def write(folder: Path, **changes: str) -> Path:
    lines = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES}
    files = {name: "".join(json.dumps(row) + "\n" for row in rows) for name, rows in lines.items()}
    for name, content in {**files, "qrels/train.tsv": TRAIN, "qrels/test.tsv": TEST, **changes}.items():
        if content:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8", newline="")
    return folder


def read(folder: Path, **arguments: Any) -> Any:
    return Beir(path=str(folder), **arguments).read()


def test_texts_grades_and_parts(tmp_path: Path) -> None:
    tables = read(write(tmp_path), valid_share=0.2)
    assert tables.items.rows() == [
        ("d1", "Ünïcode first text", "Ünïcode"),
        ("d2", "no title", ""),
        ("d3", "", ""),
        ("d4", "only title", "only title"),
    ]
    assert tables.items.columns == ["id", "text", "title"]
    assert tables.queries.rows() == [("q1", "query 1"), ("q3", "query 3"), ("q4", "query 4")]
    expected = [("q1", "d1", 1.0, "train"), ("q1", "d2", 2.0, "train"), ("q3", "d2", 1.0, "test"), ("q4", "d1", 1.0, "test")]
    assert tables.interactions.select("query", "item", "weight", "split").rows() == expected
    assert tables.counts == {
        "documents with an empty text": 1,
        "duplicate judgements": 1,
        "judgements with score 0": 1,
        "queries without a positive judgement": 2,
    }
    text = {"text": FeatureSpec(kind="text")}
    assert (tables.declaration.queries, tables.declaration.items) == (text, text)
    assert tables.declaration.split == SplitSpec(kind="given", valid=0.2)
    assert tables.display == "title"


def test_dev_is_validation_and_another_part_may_be_the_test(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"qrels/train.tsv": "", "qrels/dev.tsv": "q1\td1\n", "qrels/cold.tsv": "q5\t0\td4\t1\n"})
    tables = read(folder, test_split="cold")
    assert tables.interactions.rows() == [("q1", "d1", "valid"), ("q5", "d4", "test")]


@pytest.mark.parametrize("inside", ["", "scifact/"])
def test_a_zip_is_the_folder(tmp_path: Path, inside: str) -> None:
    folder = write(tmp_path / "folder")
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, inside + path.relative_to(folder).as_posix())
    assert read(packed).interactions.equals(read(folder).interactions)
    assert read(packed).fingerprint == read(folder).fingerprint == Beir(path=str(packed)).fingerprint()


def test_packed_and_other_formats_are_read_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", **{"qrels/train.tsv": ""})
    other = tmp_path / "other"
    (other / "corpus").mkdir(parents=True)
    (other / "qrels").mkdir()
    corpus = pl.DataFrame([{**row, "metadata": None} for row in CORPUS])
    corpus[:2].write_parquet(other / "corpus" / "corpus-00000-of-00002.parquet")
    corpus[2:].write_parquet(other / "corpus" / "corpus-00001-of-00002.parquet")
    (other / "queries.jsonl.gz").write_bytes(gzip.compress((folder / "queries.jsonl").read_bytes()))
    rows = [{"query-id": "q3", "corpus-id": "d2", "score": 1}, {"query-id": "q4", "corpus-id": "d1", "score": 1.0}]
    (other / "qrels" / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read(folder), read(other)
    assert first.items.equals(second.items)
    assert first.queries.equals(second.queries)
    assert first.interactions.equals(second.interactions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qrels/test.tsv": "q1\tdX\t1\nq1\td1\t1\n"}, r"qrels/test\.tsv: 1 of 2 rows name no document of the corpus, the first is 'dX'"),
        ({"qrels/train.tsv": "qX\td1\t1\nqY\td1\t1\n"}, r"qrels/train\.tsv: 2 of 2 rows name no query, the first is 'qX'"),
        (
            {"qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\tx\n"},
            r"test\.tsv: the score in line 3 is 'x', which is no number",
        ),
        ({"qrels/train.tsv": "q1\td1\t1\nq2\td2\tnan\n"}, r"train\.tsv: the score in line 2 is 'nan', which is no number"),
        ({"qrels/train.tsv": "q1\td1\tinf\n"}, r"train\.tsv: the score in line 1 is 'inf', which is no number"),
        ({"qrels/test.tsv": "q1\td1\t1\nq1\td2\n"}, r"test\.tsv: line 2 has 2 column\(s\), the first line has 3"),
        ({"qrels/test.tsv": "q1 d1 1\n"}, r"test\.tsv has 1 column\(s\); judgements are query-id, corpus-id, score, separated by tabs"),
        ({"qrels/test.tsv": "query-id\tcorpus-id\tscore\n"}, r"test\.tsv has a header but no rows"),
        ({"corpus.jsonl": '{"_id": "d1", "text": "x"}\n{"_id": "d1", "text": "y"}\n'}, r"corpus\.jsonl, _id: id 'd1' is in rows 1 and 2"),
        ({"corpus.jsonl": '{"_id": "d1", "text": "x"}\n{"text": "y"}\n'}, r"corpus\.jsonl, _id: 1 row\(s\) have no id, the first is row 2"),
        ({"corpus.jsonl": '{"id": "d1", "text": "x"}\n'}, r"corpus\.jsonl has no column '_id' \(did you mean 'id'\?\)"),
        ({"corpus.jsonl": '{"_id": "d1", "text": "x"}\n{"_id"\n'}, r"corpus\.jsonl: line 2 is no valid JSON"),
        ({"queries.jsonl": '{"_id": "q1", "query": "x"}\n'}, r"queries\.jsonl has no column 'text'"),
    ],
)
def test_a_bad_data_set_is_one_clear_error(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, **changes))


def test_judgements_that_name_nothing_may_be_skipped(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"qrels/test.tsv": "q1\tdX\t1\nq1\td1\t1\n"})
    tables = read(folder, skip_unknown=True)
    assert tables.counts["judgements that name no document of the corpus"] == 1
    folder = write(tmp_path, **{"qrels/test.tsv": "q1\tdX\t1\n"})
    with pytest.raises(DataError, match="1 of 1 rows name no document"):
        read(folder, skip_unknown=True)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no corpus\.jsonl: the BEIR layout is .*it holds nothing"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"qrels has no tset\.tsv \(did you mean 'test'\?\).*there are test, train"):
        read(write(tmp_path), test_split="tset")
    (tmp_path / "not.zip").write_text("x")
    with pytest.raises(DataError, match="is no folder and no readable zip"):
        read(tmp_path / "not.zip")
    with pytest.raises(ConfigError, match=r"data\.test_split=train"):
        Beir(test_split="train")
