"""`init` on generated tables of many shapes: what it writes composes, is accepted, reads the tables and runs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from omegaconf import OmegaConf

from tt_hydra import cli
from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.paths import config_dir
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.data.dataset import Dataset
from tt_hydra.data.prepare import prepare
from tt_hydra.data.table import Table
from tt_hydra.pipeline import init as pipeline_init
from tt_hydra.pipeline.init import InitSettings
from tt_hydra.pipeline.settings import RunSettings

CONF = config_dir()
USERS, ITEMS, EVENTS, DAY = 12, 30, 240, 86_400
START = 1_700_006_400
SECRET = "zanzibar"
"""A word of every free text; no file that is written may hold it."""
TINY = [
    *("experiment=debug", "embedding_dim=8", "tower.feature_dim=8", "tower.text_buckets=64", "train.batch_size=96", "logger=none"),
    *("evaluate.resamples=5", "evaluate.latency_queries=5", "evaluate.examples=1", "runtime.threads=1", "train.accelerator=cpu"),
    *("runtime.progress_bar=false", "runtime.set_latest=false"),
]


def frame(rows: int, **columns: Callable[[int], Any]) -> pl.DataFrame:
    return pl.DataFrame({name: [make(row) for row in range(rows)] for name, make in columns.items()}, strict=False)


def taken(row: int) -> int:
    return (row * row + 7 * row) % ITEMS


def films(**more: Callable[[int], Any]) -> pl.DataFrame:
    return frame(
        ITEMS,
        item_id=lambda row: f"i{row}",
        title=lambda row: f"{SECRET} film number {row}",
        genres=lambda row: "|".join(["drama", "crime", "western"][: 1 + row % 3]),
        year=lambda row: 1950 + (row * 37) % 60,
        poster=lambda row: f"https://{SECRET}.org/{row}.jpg",
        num_ratings=lambda row: row * 11 % 17,
        **more,
    )


def people() -> pl.DataFrame:
    jobs = ["nurse", "cook", None]
    return frame(USERS, user_id=lambda row: f"u{row}", age=lambda row: 20.5 + row, job=lambda row: jobs[row % 3])


def views(**more: Callable[[int], Any]) -> pl.DataFrame:
    return frame(
        EVENTS,
        user_id=lambda row: f"u{row % USERS}",
        item_id=lambda row: f"i{taken(row)}",
        timestamp=lambda row: START + row * DAY // 3,
        **more,
    )


def _classic() -> dict[str, pl.DataFrame]:
    devices = ["phone", "tv"]
    mine = views(rating=lambda row: 1.0 + row % 5, device=lambda row: devices[row // 7 % 2], note=lambda row: f"{SECRET} {row} it was")
    return {"items": films(), "interactions": mine, "queries": people()}


def _searches() -> dict[str, pl.DataFrame]:
    mine = frame(
        EVENTS,
        search_terms=lambda row: f"{SECRET} film {row % 80}",
        item_id=lambda row: f"i{taken(row)}",
        clicked=lambda row: int(row % 5 > 0),
        when=lambda row: f"2024-03-{1 + row % 28:02d}T10:00:00Z",
    )
    return {"items": films(), "interactions": mine}


def _sessions() -> dict[str, pl.DataFrame]:
    mine = frame(
        EVENTS,
        session_id=lambda row: row // 5,
        item_id=lambda row: f"i{taken(row)}",
        time=lambda row: (START + row * DAY) * 1000,
        slate=lambda row: [f"i{taken(row)}", f"i{(taken(row) + 3) % ITEMS}"],
    )
    return {"items": films(tags=lambda row: ["a", "b"][: row % 3]), "interactions": mine}


def _judgements() -> dict[str, pl.DataFrame]:
    mine = frame(EVENTS, query_id=lambda row: f"q{row % 40}", item_id=lambda row: f"i{taken(row)}", score=lambda row: row % 3)
    asked = frame(40, id=lambda row: f"q{row}", text=lambda row: f"what is {SECRET} {row}")
    return {"items": films(), "interactions": mine, "queries": asked}


def _given_parts() -> dict[str, pl.DataFrame]:
    names = ["train"] * 8 + ["val", "test"]
    return {"items": films(), "interactions": views(part=lambda row: names[row // 12 % 10]).drop("timestamp")}


def _bare() -> dict[str, pl.DataFrame]:
    return {"interactions": views().drop("timestamp")}


def _odd_names() -> dict[str, pl.DataFrame]:
    odd = {"a b": 2, "yes": 3, "x.y": 4, "a: b # c": 5, "${z}": 3, "'": 2, "ünï": 4, "1": 3, "line\nbreak": 2}
    more = {name: (lambda row, size=size: f"v{row % size}") for name, size in odd.items()}
    return {"items": films(**more), "interactions": views(), "queries": people()}


SHAPES: dict[str, tuple[Callable[[], Mapping[str, pl.DataFrame]], str]] = {
    "classic": (_classic, "parquet"),
    "classic_csv": (_classic, "csv"),
    "searches": (_searches, "jsonl"),
    "sessions": (_sessions, "parquet"),
    "judgements": (_judgements, "jsonl"),
    "given_parts": (_given_parts, "csv"),
    "bare": (_bare, "parquet"),
    "odd_names": (_odd_names, "parquet"),
}


QUICK = ("classic_csv", "odd_names")
"""Shapes that run in every test run; of the others too, what is written is accepted and reads the tables."""


def write(folder: Path, tables: Mapping[str, pl.DataFrame], ending: str = "parquet") -> list[str]:
    """Writes the tables; returns the words of the command line that name them."""
    words = []
    for role, table in tables.items():
        path = folder / f"{role}.{ending}"
        {"parquet": table.write_parquet, "csv": table.write_csv, "jsonl": table.write_ndjson}[ending](path)
        words.append(f"{role}={path.name}")
    return words


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


def init(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tt-hydra", "init", *words])
        return cli.status(["init", *words])


def written_by(words: list[str]) -> str:
    """What `init` writes, without the command line around it."""
    make = InitSettings(**dict(word.split("=", 1) for word in words))
    return pipeline_init.init(make, ("table",)).path.read_text(encoding="utf-8")


def source(text: str) -> Table:
    """The source that a written file declares, without Hydra around it."""
    defaults = OmegaConf.load(CONF / "data" / "table.yaml")
    node: Any = OmegaConf.to_container(OmegaConf.merge(defaults, OmegaConf.create(text)["data"]), resolve=True)
    return Table(**{name: value for name, value in node.items() if name != "_target_"})


def settings(folder: Path, *more: str) -> RunSettings:
    """What the written file comes to; it must be accepted as it is."""
    config, problems = compose(make_loader([str(folder / "conf")]), "run", ["data=mine", *more])
    found = check(config, COMMANDS["run"], RUN_RULES, {"runtime.run_dir": "."})
    assert not problems
    assert not found.errors
    return build(found, RunSettings)


def written(folder: Path) -> str:
    return (folder / "conf" / "data" / "mine.yaml").read_text(encoding="utf-8")


def declared(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def unnamed(text: str, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Columns that the file does not speak of, neither as used nor as left out."""
    said = declared(text)
    words = [line.partition("#")[2] for line in text.splitlines()]
    commented = "\n".join(words)
    used = str(said)
    return [
        name
        for table in tables.values()
        for name in table.columns
        if not any(repr(name) in place or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", place) for place in (used, commented))
        and repr(name)[1:-1] not in commented
    ]


@pytest.mark.parametrize("shape", [shape if shape in QUICK else pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES])
def test_what_is_written_runs(here: Path, shape: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, ending = SHAPES[shape]
    tables = make()
    assert init(*write(here, tables, ending)) == 0
    assert "python -m tt_hydra --config-dir=conf data=mine" in capfd.readouterr().out
    words = ["--config-dir=conf", "data=mine", *TINY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tt-hydra", *words])
        assert cli.status(words) == 0, capfd.readouterr().err


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_written_reads_the_tables_and_speaks_of_every_column(here: Path, shape: str) -> None:
    make, ending = SHAPES[shape]
    tables = make()
    text = written_by(write(here, tables, ending))
    assert SECRET not in text
    assert unnamed(text, tables) == []
    settings(here)
    prepare(source(text).read(), folder=here / "prepared", seed=1)


def test_what_the_classic_tables_come_to(here: Path) -> None:
    text = written_by(write(here, _classic()))
    found = declared(text)["data"]
    assert found["interactions"] | {"path": ""} == {
        "path": "",
        "query": "user_id",
        "item": "item_id",
        "time": "timestamp",
        "time_unit": "s",
        "labels": ["rating"],
        "context": {"device": "categorical"},
    }
    assert found["queries"]["features"] == {"user_id": "categorical", "age": "numeric", "job": "categorical"}
    assert found["items"]["features"] == {
        "item_id": "categorical",
        "title": "text",
        "genres": {"kind": "multi", "sep": "|"},
        "year": "numeric",
    }
    assert found["split"]["kind"] == "temporal"
    assert "# num_ratings: numeric" in text
    assert "sums up events of all times" in text
    assert "poster: addresses of files or pages" in text


def test_what_searches_come_to(here: Path) -> None:
    text = written_by(write(here, _searches(), "jsonl"))
    found = declared(text)
    assert found["data"]["interactions"]["query"] is None
    assert found["data"]["interactions"]["text"] == "search_terms"
    assert found["data"]["interactions"]["weight"] == "clicked"
    assert found["data"]["history"] is None
    assert found["evaluate"]["exclude_seen"] is False
    assert source(text).read().interactions.height <= EVENTS * 4 // 5


def test_what_sessions_come_to(here: Path) -> None:
    found = declared(written_by(write(here, _sessions())))["data"]
    assert found["interactions"]["query"] == "session_id"
    assert found["interactions"]["impressions"] == "slate"
    assert found["interactions"]["time_unit"] == "ms"
    assert found["split"] == {"kind": "leave_last_out"}


NAMES = ["colour", "price", "size", "tags", "maker_id", "about", "released", "flag", "void", "rank", "when", "id", "text", "history"]


def _random_table(draw: random.Random, rows: int, key: str | None) -> pl.DataFrame:
    names = draw.sample(NAMES, 6)
    kinds: list[Callable[[int], Any]] = [
        lambda row: f"c{row % 4}",
        lambda row: row * 1.5,
        lambda row: row % 7,
        lambda row: ["x", "y", "z"][: row % 4],
        lambda row: "a;b" if row % 2 else "b",
        lambda row: f"{SECRET} words number {row}",
        lambda row: f"2023-01-{1 + row % 28:02d}",
        lambda row: row % 2 == 0,
        lambda _: None,
        lambda row: None if row % 3 else f"{row:016x}",
        lambda row: {"a": row},
        lambda row: START + row,
    ]
    columns = {name: draw.choice(kinds) for name in names}
    return frame(rows, **({key: lambda row: f"{key[0]}{row}"} if key else {}), **columns)


@pytest.mark.parametrize("seed", range(12))
def test_any_tables_give_a_file_that_reads_them(here: Path, seed: int) -> None:
    """Every file that asks nothing reads and prepares its tables, and speaks of every column, whatever they are called and hold."""
    draw = random.Random(seed)
    tables = {
        "items": _random_table(draw, ITEMS, "item_id"),
        "interactions": pl.concat([views(), _random_table(draw, EVENTS, None)], how="horizontal"),
        "queries": _random_table(draw, USERS, "user_id"),
    }
    if draw.random() < 0.3:
        del tables["queries"]
    text = written_by(write(here, tables))
    assert SECRET not in text
    assert unnamed(text, tables) == []
    prepare(source(text).read(), folder=here / "prepared", seed=1)


def test_who_asked_must_be_said_first(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    two = views(customer_id=lambda row: f"c{row // 9 % 7}")
    assert init(*write(here, {"items": films(), "interactions": two})) == 0
    assert "to be answered first, in that file: data.interactions.query" in capfd.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        words = ["check", "--config-dir=conf", "data=mine"]
        patch.setattr("sys.argv", ["tt-hydra", *words])
        assert cli.status(words) == 2
        assert "data.interactions.query" in capfd.readouterr().err
    answered = written(here).replace("query: ???", "query: customer_id")
    (here / "conf" / "data" / "mine.yaml").write_text(answered, encoding="utf-8")
    assert source(answered).read().queries["id"].n_unique() == 7


@pytest.mark.parametrize("events", [20, 1])
def test_who_asked_is_all_that_must_be_said_for_a_model_with_a_history(here: Path, events: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Somebody of 20 events has a past, somebody of one has none: either answer runs as it is."""
    mine = views(who=lambda row: f"w{row // events}").drop("user_id")
    assert init(*write(here, {"items": films(), "interactions": mine})) == 0
    answered = written(here).replace("query: ???", "query: who")
    assert "???" not in str(declared(answered))
    (here / "conf" / "data" / "mine.yaml").write_text(answered, encoding="utf-8")
    settings(here)
    prepare(source(answered).read(), folder=here / "prepared", seed=1)
    data = Dataset.load(here / "prepared")
    assert data.featurizer.history == 50
    assert set(data.query_records(np.arange(EVENTS // events))["history"].list.len()) == {events}
    words = ["--config-dir=conf", "data=mine", *TINY]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tt-hydra", *words])
        assert cli.status(words) == 0, capfd.readouterr().err
