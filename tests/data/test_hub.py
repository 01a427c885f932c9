"""Hub data sets: local copies in both layouts, without the internet; fetching is a stub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import polars as pl
import pytest

from tt_hydra.data.hub import Hub
from tt_hydra.errors import ConfigError, DataError


def rows(folder: Path, name: str = "train.jsonl", columns: tuple[str, str] = ("Anchor", "answer")) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(
        "".join(json.dumps({columns[0]: f"{name} {n}", columns[1]: f"p{n}", "negative": "n"}) + "\n" for n in range(3))
    )
    return folder


def beir(folder: Path, qrels: str = "qrels/test.tsv") -> Path:
    (folder / qrels).parent.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d", "title": "t", "text": "x"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')
    (folder / qrels).write_text("q\td\t1\n")
    return folder


@pytest.mark.parametrize("inside", [".", "data", "only"])
def test_rows_are_found_and_usual_names_known(tmp_path: Path, inside: str) -> None:
    rows(tmp_path / inside)
    rows(tmp_path / inside, "test-00000-of-00001.jsonl")
    tables = Hub(path=str(tmp_path)).read()
    assert tables.queries["text"].to_list() == [f"{name} {n}" for name in ("test-00000-of-00001.jsonl", "train.jsonl") for n in range(3)]
    assert tables.items["text"].to_list() == ["p0", "p1", "p2", "n"]
    assert tables.interactions["split"].to_list() == ["test"] * 3 + ["train"] * 3
    assert tables.interactions["negatives"].to_list() == [["d3"]] * 6


def test_one_of_several_subsets(tmp_path: Path) -> None:
    rows(tmp_path / "pair")
    rows(tmp_path / "triplet", "train.jsonl", ("query", "positive"))
    assert len(Hub(path=str(tmp_path), subset="pair").read().queries) == 3
    with pytest.raises(DataError, match=r"choose one with data\.subset: pair, triplet"):
        Hub(path=str(tmp_path)).read()
    with pytest.raises(DataError, match=r"no subset 'triple' \(did you mean 'triplet'\?\)"):
        Hub(path=str(tmp_path), subset="triple").read()


def test_unusual_names_must_be_given(tmp_path: Path) -> None:
    rows(tmp_path, columns=("left", "right"))
    with pytest.raises(DataError, match=r"no column is known to hold the query .*left, right, negative: name one with data\.query=COLUMN"):
        Hub(path=str(tmp_path)).read()
    tables = Hub(path=str(tmp_path), query="left", positive="right", negatives=None).read()
    assert tables.items["text"].to_list() == ["p0", "p1", "p2"]


def test_a_single_file_will_do(tmp_path: Path) -> None:
    pl.DataFrame({"question": ["x"], "answer": ["y"]}).write_parquet(tmp_path / "a.parquet")
    assert Hub(path=str(tmp_path / "a.parquet")).read().items.rows() == [("d0", "y")]


def test_a_folder_with_corpus_and_queries_is_beir(tmp_path: Path) -> None:
    tables = Hub(path=str(beir(tmp_path))).read()
    assert tables.items.rows() == [("d", "t x", "t")]
    with pytest.raises(ConfigError, match=r"data\.query is set, but .* has the BEIR layout"):
        Hub(path=str(tmp_path), query="text").read()


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files of rows by itself; files of rows end in"):
        Hub(path=str(tmp_path)).read()
    with pytest.raises(DataError, match=r"data\.path is not set"):
        Hub().read()


class Fetch:
    """Stands in for the hub: folders by id."""

    def __init__(self, known: dict[str, Path]) -> None:
        self.known = known
        self.arguments: list[dict[str, Any]] = []

    def __call__(self, name: str, **arguments: Any) -> str:
        self.arguments.append(arguments)
        if name not in self.known:
            raise OSError(f"no data set {name}\nwith details")
        return str(self.known[name])


def test_an_id_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"me/rows": rows(tmp_path / "a"), "me/beir": tmp_path / "b", "me/beir-qrels": tmp_path / "c"}
    beir(tmp_path / "b", "../c/test.tsv")
    fetch = Fetch(known)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    monkeypatch.setenv("TT_HYDRA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert len(Hub(path="me/rows", revision="abc").read().queries) == 3
    assert (fetch.arguments[0]["revision"], fetch.arguments[0]["cache_dir"]) == ("abc", tmp_path / "cache" / "hub")
    assert Hub(path="me/beir").read().interactions.rows() == [("q", "d", "test")]
    with pytest.raises(DataError, match=r"data\.path=me/none is no folder here, and the Hugging Face hub did not .*: no data set me/none;"):
        Hub(path="me/none").fingerprint()
