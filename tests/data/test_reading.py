"""Files of rows: what each format keeps, and errors that name the file and the line."""

from __future__ import annotations

import errno
import gzip
from pathlib import Path
from typing import NoReturn

import polars as pl
import pytest

from tt_hydra.data import bad_line
from tt_hydra.data.reading import DataFile, find_files, find_path, read_file, read_files, read_texts
from tt_hydra.errors import DataError

ROWS = [{"id": "007", "name": "Zoë, the 'é'"}, {"id": "8", "name": "漢字 😀"}]


def put(folder: Path, name: str, content: str | bytes) -> DataFile:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return DataFile(path, name)


def as_csv(quote: str = '"', separator: str = ",") -> str:
    return "\n".join([f"id{separator}name", *(f"{row['id']}{separator}{quote}{row['name']}{quote}" for row in ROWS)]) + "\n"


JSON_LINES = '{"id": "007", "name": "Zo\\u00eb, the \'é\'"}\n\n{"id": "8", "name": "漢字 \\ud83d\\ude00", "more": [1]}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", as_csv()),
        ("rows.CSV", as_csv()),
        ("windows.csv", "\ufeff" + as_csv().replace("\n", "\r\n")),
        ("rows.csv.gz", gzip.compress(as_csv().encode(), mtime=0)),
        ("rows.tsv", as_csv("", "\t")),
        ("rows.jsonl", JSON_LINES),
        ("marked.ndjson", "\ufeff" + JSON_LINES),
        ("rows.jsonl.gz", gzip.compress(JSON_LINES.encode(), mtime=0)),
        ("marked.jsonl.gz", gzip.compress(("\ufeff" + JSON_LINES).encode(), mtime=0)),
    ],
)
def test_each_format_keeps_ids_and_unicode(tmp_path: Path, name: str, content: str | bytes) -> None:
    file = put(tmp_path, name, content)
    assert read_file(file, ["id", "name"]).to_dicts() == ROWS
    assert read_texts([file], ["name"], ["absent"]).to_dicts() == [{"name": row["name"], "absent": None} for row in ROWS]


def test_parquet_keeps_types_and_reads_only_what_is_asked(tmp_path: Path) -> None:
    pl.DataFrame({"id": [1, 2], "tags": [["a"], []], "x": [0.5, None]}).write_parquet(tmp_path / "a.parquet")
    frame = read_file(DataFile(tmp_path / "a.parquet", "a"), ["tags", "id"])
    assert frame.to_dict(as_series=False) == {"tags": [["a"], []], "id": [1, 2]}
    assert read_file(DataFile(tmp_path / "a.parquet", "a"), ["id"], every=True).width == 3


def test_a_quoted_cell_may_hold_lines_quotes_and_nothing(tmp_path: Path) -> None:
    file = put(tmp_path, "a.csv", 'a,b\n"x\ny","say ""hi"""\n1,\n2,""\n')
    assert read_file(file, ["a", "b"]).rows() == [("x\ny", 'say "hi"'), ("1", None), ("2", "")]


def test_a_separator_in_a_name_beside_others_or_in_the_cells_of_one_column_is_a_text(tmp_path: Path) -> None:
    assert read_file(put(tmp_path, "a.csv", "a;b,c\n1;2,3\n"), ["a;b", "c"]).rows() == [("1;2", "3")]
    assert read_file(put(tmp_path, "b.csv", "tags\na;b\n"), ["tags"]).rows() == [("a;b",)]


def test_a_tsv_has_no_quoting(tmp_path: Path) -> None:
    assert read_file(put(tmp_path, "a.tsv", 'a\tb\n"x\ty"\n'), ["a"]).rows() == [('"x',)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,name\n1,x\n2,y,z\n", "a.csv: line 3 has 3 column(s), the first line has 2"),
        ("a.csv", "id,name\n1,x\n2\n3,y\n", "a.csv: line 3 has 1 column(s), the first line has 2"),
        ("a.csv", 'id,name\n"1\n",x\n2\n', "a.csv: line 4 has 1 column(s), the first line has 2"),
        ("a.csv", 'id,name\n1,x\n2,"y\n3,z\n', "a.csv: line 3 cannot be parsed (unexpected end of data): is a quote left open?"),
        ("a.tsv", "id\tname\n1\tx\ty\n", "a.tsv: line 2 has 3 column(s), the first line has 2"),
        ("a.csv", "id,name\n1,é\n".encode("latin1"), "a.csv: line 2 is not UTF-8 text; convert the file"),
        ("a.jsonl", '{"id": 1, "name": "x"}\n{"id": 2,\n', "a.jsonl: line 2 is no valid JSON ("),
        ("a.jsonl", '{"id": 1, "name": "x"}\n[1, 2]\n', "a.jsonl: line 2 is no JSON object: [1, 2]"),
        ("a.jsonl", '{"id": 1, "name": NaN}\n', "a.jsonl: line 1 is no valid JSON (NaN is not allowed, write null)"),
        ("a.jsonl", '{"id": 1, "name": "é"}\n'.encode("latin1"), "a.jsonl: line 1 is not UTF-8 text"),
        ("a.jsonl.gz", b"plain", "a.jsonl.gz: cannot be unpacked: "),
        ("a.parquet", b"no parquet at all", "a.parquet: cannot be read: "),
        (
            "a.csv",
            "id;name\n1;2,50\n",
            "a.csv: its first line is one column with ';' in its name; cells of .csv are separated by ',': write it",
        ),
        ("a.csv", '\ufeff"id";"name"\n"1";"x"\n', "a.csv: its first line is one column with ';' in its name"),
        (
            "a.csv",
            "\nid\tname\n1\tx\n",
            "a.csv: its first line is one column with a tab in its name; cells of .csv are separated by ',': name it .tsv",
        ),
        ("a.csv.gz", gzip.compress(b"id|name\n1|x\n"), "a.csv.gz: its first line is one column with '|' in its name"),
        (
            "a.tsv",
            "id,name\n1,x\n",
            "a.tsv: its first line is one column with ',' in its name; cells of .tsv are separated by a tab: name it .csv",
        ),
        ("a.csv", "", "a.csv is empty"),
        ("a.jsonl", "", "a.jsonl is empty"),
        ("a.csv", "id,name\n", "a.csv has no rows"),
        ("a.xlsx", "x", "a.xlsx: unknown format; the file's name must end in one of .parquet"),
        ("a.csv", "id,Name\n1,x\n", "a.csv has no column 'name' (did you mean 'Name'?); its columns are id, Name"),
        ("a.jsonl", '{"id": 1, "nmae": "x"}\n', "a.jsonl has no column 'name' (did you mean 'nmae'?); its columns are id, nmae"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    file = put(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        read_file(file, ["id", "name"])
    assert str(caught.value).startswith(message)
    with pytest.raises(DataError) as caught:
        read_texts([file], ["id", "name"])
    assert str(caught.value).startswith(message)


def test_a_file_that_may_not_be_opened_is_no_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", "a.csv")

    monkeypatch.setattr(bad_line, "open_bytes", refuse)
    assert bad_line.first_bad_line(tmp_path / "a.csv", ".csv") == "cannot be opened: Permission denied"


def test_a_late_bad_line_is_found_in_a_long_file(tmp_path: Path) -> None:
    lines = ['{"id": 1, "name": "x"}'] * 5000
    lines[4321] = '{"id": 1, "name": x}'
    with pytest.raises(DataError, match=r"^a.jsonl: line 4322 is no valid JSON"):
        read_file(put(tmp_path, "a.jsonl", "\n".join(lines)), ["id"])


def test_a_json_column_may_change_its_type_late(tmp_path: Path) -> None:
    file = put(tmp_path, "a.jsonl", '{"id": 1}\n' * 3000 + '{"id": "x", "more": {"y": 1}}\n')
    assert read_file(file, ["id"])["id"].to_list()[-2:] == ["1", "x"]


def test_a_missing_path_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    put(tmp_path, "events.parquet", "x")
    with pytest.raises(DataError, match=r"data\.path=.*event\.parquet: there is no such file .*did you mean 'events\.parquet'\?"):
        find_path(str(tmp_path / "event.parquet"), "data.path")
    with pytest.raises(DataError, match="there is no folder"):
        find_path(str(tmp_path / "no" / "events.parquet"), "data.path")
    with pytest.raises(DataError, match=r"data\.path is not set"):
        find_path(None, "data.path")


def test_a_folder_is_all_its_files_by_name(tmp_path: Path) -> None:
    put(tmp_path, "b.csv", "id\n2\n")
    put(tmp_path, "a.csv", "id\n1\n")
    put(tmp_path, "README.md", "x")
    assert read_files(find_files(str(tmp_path), "data.path"), ["id"])["id"].to_list() == ["1", "2"]
    put(tmp_path, "c.jsonl", '{"id": 3}')
    with pytest.raises(DataError, match=r"this one holds \.csv, \.jsonl"):
        find_files(str(tmp_path), "data.path")


def test_a_path_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.csv", "id\n1\n")
    monkeypatch.chdir(tmp_path)
    assert find_path("a.csv", "data.path").read_text() == "id\n1\n"
