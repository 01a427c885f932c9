"""What every data source keeps, whatever it reads."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tt_hydra.component import instantiate, spec_of
from tt_hydra.data.beir import Beir
from tt_hydra.data.declaration import FeatureSpec
from tt_hydra.data.hub import Hub
from tt_hydra.data.movielens import MovieLens
from tt_hydra.data.pairs import Pairs
from tt_hydra.data.prepare import prepare
from tt_hydra.data.table import Table
from tt_hydra.data.tables import Tables
from tt_hydra.data.vectors import Vectors
from tt_hydra.errors import DataError

QUERIES, ITEMS = 8, 10
TYPES = {"text": pl.String, "categorical": pl.String, "numeric": pl.Float64, "time": pl.Int64, "multi": pl.String}
COLUMNS = {"query": pl.String, "item": pl.String, "time": pl.Int64, "weight": pl.Float32, "text": pl.String, "split": pl.String}


def _lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def _pairs() -> list[tuple[int, int]]:
    return [(query, (query + step) % ITEMS) for query in range(QUERIES) for step in range(4)]


def movielens(folder: Path) -> MovieLens:
    _lines(folder / "u.data", [f"{q}\t{i}\t5\t{881250949 + n}" for n, (q, i) in enumerate(_pairs())])
    _lines(folder / "u.user", [f"{q}|30|M|artist|1" for q in range(QUERIES)])
    _lines(folder / "u.item", [f"{i}|Film {i} (1990)||||{'|'.join('1' * 19)}" for i in range(ITEMS)])
    return MovieLens(path=str(folder), statistics=("count",), context={"timestamp": "time"})


def beir(folder: Path) -> Beir:
    _lines(folder / "corpus.jsonl", [{"_id": str(i), "title": "t", "text": f"text {i}"} for i in range(ITEMS)])
    _lines(folder / "queries.jsonl", [{"_id": str(q), "text": f"query {q}"} for q in range(QUERIES)])
    _lines(folder / "qrels" / "train.tsv", [f"{q}\t{i}\t1" for q, i in _pairs() if q < 6])
    _lines(folder / "qrels" / "test.tsv", [f"{q}\t{i}\t2" for q, i in _pairs() if q >= 6])
    return Beir(path=str(folder))


def table(folder: Path) -> Table:
    rows = [f"{q},{i},2024-01-{n % 28 + 1:02},{n % 3},{(i + 1) % ITEMS}|{i},{n},{n / 2}" for n, (q, i) in enumerate(_pairs())]
    _lines(folder / "events.csv", ["user_id,item_id,day,device,shown,stars,judged", *rows])
    _lines(
        folder / "items.jsonl", [{"item_id": i, "title": f"i {i}", "tags": "a|b", "price": i, "born": "2020-01-01"} for i in range(ITEMS)]
    )
    events = {"path": str(folder / "events.csv"), "time": "day", "context": {"device": "categorical", "day": "time"}}
    events |= {"impressions": "shown", "labels": ["stars"], "teacher": "judged"}
    features = {"item_id": "categorical", "title": "text", "tags": "multi", "price": "numeric", "born": "time"}
    items = {"path": str(folder / "items.jsonl"), "features": features}
    return Table(interactions=events, items=items, statistics=("rate_7d",))  # type: ignore[arg-type]  # nodes as a config gives them


def pairs(folder: Path) -> Pairs:
    rows = [{"query": f"q {q}", "positive": f"p {i}", "negative": f"n {i}", "t": q, "nt": i / 2} for q, i in _pairs()]
    _lines(folder / "train.jsonl", rows[:-4])
    _lines(folder / "test.jsonl", rows[-4:])
    return Pairs(path=str(folder), teacher="t", negatives_teacher="nt")


def hub(folder: Path) -> Hub:
    _lines(folder / "data" / "train.jsonl", [{"question": f"q {q}", "answer": f"a {i}"} for q, i in _pairs()])
    return Hub(path=str(folder))


def vectors(folder: Path) -> Vectors:
    rng = np.random.default_rng(0)
    np.save(folder / "items.npy", rng.random((ITEMS, 4), np.float32))
    np.save(folder / "queries.npy", rng.random((QUERIES, 4), np.float32))
    return Vectors(path=str(folder))


Make = Callable[[Path], Any]
SOURCES = [movielens, beir, table, pairs, hub, vectors]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def test_every_source_stands_this_test() -> None:
    options = {path.stem for path in (Path(__file__).parents[2] / "conf" / "data").glob("*.yaml")}
    assert options == {source.__name__ for source in SOURCES}


def test_ids_are_distinct_strings_and_every_event_names_one(make: Make, tmp_path: Path) -> None:
    tables: Tables = make(tmp_path).read()
    for frame in (tables.queries, tables.items):
        assert frame.schema["id"] == pl.String
        assert frame["id"].n_unique() == len(frame)
        assert frame["id"].null_count() == 0
    assert tables.interactions["query"].is_in(tables.queries["id"].implode()).all()
    assert tables.interactions["item"].is_in(tables.items["id"].implode()).all()
    assert (
        not tables.interactions.select(column for column in COLUMNS if column in tables.interactions.columns)
        .null_count()
        .sum_horizontal()[0]
    )


def test_columns_have_the_promised_types(make: Make, tmp_path: Path) -> None:
    tables: Tables = make(tmp_path).read()
    declaration = tables.declaration
    features = [(tables.queries, declaration.queries), (tables.items, declaration.items), (tables.interactions, declaration.context)]
    for frame, declared in features:
        for name, spec in declared.items():
            assert isinstance(spec, FeatureSpec)
            assert frame.schema[name] == TYPES[spec.kind], name
    known = {**COLUMNS, "negatives": pl.List(pl.String), "teacher": pl.Float32, "negatives_teacher": pl.List(pl.Float32)}
    known |= dict.fromkeys(declaration.labels, pl.Float64)
    for name, kind in tables.interactions.schema.items():
        assert name in declaration.context or kind == known[name]
    assert tables.display is None or tables.display in tables.items.columns


def test_the_same_is_read_again_and_after_a_move(make: Make, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    source = make(tmp_path / "here")
    first, again = source.read(), source.read()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    moved = _moved(source, tmp_path)
    third = moved.read()
    for other in (again, third):
        assert first.interactions.equals(other.interactions)
        assert first.items.equals(other.items)
        assert first.queries.equals(other.queries)
        assert first.counts == other.counts
    assert first.fingerprint == third.fingerprint == source.fingerprint() == moved.fingerprint()


def _moved(source: Any, folder: Path) -> Any:
    text = json.dumps(spec_of(source)).replace(str(folder / "here"), str(folder / "there"))
    return instantiate(json.loads(text), object)


def test_another_content_or_argument_is_another_fingerprint(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path)
    before = source.fingerprint()
    values = {"statistics": ("count", "rate_9d")} if hasattr(source, "statistics") else {"valid_share": 0.25}
    assert dataclasses.replace(source, **values).fingerprint() != before
    changed = next(path for path in sorted(tmp_path.rglob("*")) if path.is_file())
    changed.write_bytes(changed.read_bytes() + b" ")
    assert source.fingerprint() != before


def test_a_source_is_its_spec(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path)
    assert instantiate(spec_of(source), object) == source


def test_a_missing_path_stops_at_once(make: Make, tmp_path: Path) -> None:
    source = make(tmp_path)
    shutil.rmtree(tmp_path)
    for act in (source.read, source.fingerprint):
        with pytest.raises(DataError, match=r"data\..*path=.*"):
            act()


def test_a_data_set_can_be_prepared_from_it(make: Make, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    prepare(make(tmp_path / "source").read(), seed=0, folder=tmp_path / "prepared")
    assert (tmp_path / "prepared" / "about.json").is_file()
