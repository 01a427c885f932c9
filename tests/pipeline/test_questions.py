from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tt_hydra.errors import DataError
from tt_hydra.pipeline.questions import Question, read_questions
from tt_hydra.serve.query import Query


def read(path: Path, content: str | bytes) -> list[Question]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_questions(str(path), "search.input")


def test_lines_of_text_are_named_by_their_number(tmp_path):
    found = read(tmp_path / "q.txt", "\ufeffa film, about the sea\r\n\n  naïve 🎬  \n")
    assert found == [Question("1", Query(text="a film, about the sea")), Question("3", Query(text="naïve 🎬"))]


def test_json_lines_ask_whatever_a_query_can(tmp_path):
    found = read(
        tmp_path / "q.jsonl",
        '{"_id": 7, "text": "sea", "metadata": {}}\n{"id": "u 1"}\n{"query_id": 42, "text": null}\n'
        '{"id": "x", "query_id": "3", "history": ["i1"], "features": {"age": 30}, "context": {"device": "tv"}}\n{"text": "war"}\n',
    )
    assert found == [
        Question("7", Query(text="sea")),
        Question("u 1", Query(query_id="u 1")),
        Question("42", Query(query_id="42")),
        Question("x", Query(query_id="3", history=["i1"], features={"age": 30}, context={"device": "tv"})),
        Question("5", Query(text="war")),
    ]


def test_tables_of_questions(tmp_path):
    found = read(tmp_path / "q.csv", 'id,text\n007,"a, b"\n8,\n')
    assert found == [
        Question("007", Query(text="a, b")),
        Question("8", Query(query_id="8")),
    ]
    assert read(tmp_path / "q.tsv", "id\ttext\n1\tsea\n") == [Question("1", Query(text="sea"))]
    pl.DataFrame({"id": ["a"], "history": [["i1", "i2"]]}).write_parquet(tmp_path / "q.parquet")
    assert read_questions(str(tmp_path / "q.parquet"), "x") == [Question("a", Query(history=["i1", "i2"]))]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("q.txt", " \n\n", "is empty"),
        ("q.txt", b"\xff\xfe", "is not UTF-8"),
        ("q.jsonl", '{"id": 1}\n{"id"\n', "line 2"),
        ("q.jsonl", '["a"]\n', "line 1: an object is needed"),
        ("q.jsonl", '{"question": "sea"}\n', "row 1 asks nothing: it needs one of id, _id, text"),
        ("q.xml", "<q/>", "must end in one of .txt, .parquet"),
    ],
)
def test_bad_files_are_named_with_the_line(name, content, told, tmp_path):
    with pytest.raises(DataError) as refused:
        read(tmp_path / name, content)
    assert told in str(refused.value)
    assert name in str(refused.value)


def test_a_missing_file_names_its_key(tmp_path):
    with pytest.raises(DataError, match=r"search\.input="):
        read_questions(str(tmp_path / "absent.txt"), "search.input")
