"""Declared tables: what is read, what is dropped and counted, and every way in which they can be wrong."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tt_hydra.data.dataset import Dataset
from tt_hydra.data.declaration import FeatureSpec, SplitSpec
from tt_hydra.data.prepare import prepare
from tt_hydra.data.table import Table
from tt_hydra.errors import ConfigError, DataError

EVENTS = {
    "uid": ["u1", "u2", "u1", None, "u9", "u1", "u2", "u1"],
    "sku": ["a", "b", "b", "a", "a", "a", "zz", "c"],
    "at": [10, 20, 30, 40, 50, 10, 60, None],
    "device": ["tv", None, "pc", "tv", "tv", "tv", "tv", "tv"],
}
USERS = {"uid": ["u1", "u2", "u3"], "age": ["24", "NA", ""], "city": ["Łódź", "", None]}
ITEMS = {"sku": ["a", "b", "c"], "title": ["Æble", None, " "], "tags": [["x", "y"], [], None], "price": [1, None, 3], "extra": [1, 2, 3]}
ITEMS |= {"took": [timedelta(hours=1), None, timedelta(0)], "never": ["", None, " "]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pl.DataFrame(EVENTS).write_csv(tmp_path / "events.csv")
    pl.DataFrame(USERS).write_csv(tmp_path / "users.csv")
    pl.DataFrame(ITEMS).write_parquet(tmp_path / "items.parquet")
    return tmp_path


def spec(folder: Path, **changes: Any) -> dict[str, Any]:
    events = {"path": str(folder / "events.csv"), "query": "uid", "item": "sku", "time": "at", "time_unit": "s"}
    users = {"path": str(folder / "users.csv"), "features": {"uid": "categorical", "age": "numeric", "city": "categorical"}}
    features = {"title": "text", "tags": {"kind": "multi"}, "price": "numeric"}
    items = {"path": str(folder / "items.parquet"), "id": "sku", "features": features}
    nodes: dict[str, Any] = {"interactions": {**events, "context": {"device": "categorical"}}, "queries": users, "items": items}
    for key, value in changes.items():
        nodes[key] = {**nodes[key], **value} if key in nodes and isinstance(value, dict) else value
    return nodes


def test_the_tables_are_typed_and_what_cannot_be_used_is_counted(folder: Path) -> None:
    tables = Table(**spec(folder)).read()
    assert tables.interactions.rows() == [("u1", "a", 10_000_000, "tv"), ("u2", "b", 20_000_000, None), ("u1", "b", 30_000_000, "pc")]
    assert tables.interactions.columns == ["query", "item", "time", "device"]
    assert tables.counts == {
        "interactions without query": 1,
        "interactions without time": 1,
        "interactions with an unknown query": 1,
        "interactions with an unknown item": 1,
        "duplicate interactions": 1,
    }
    assert tables.queries.rows() == [("u1", "u1", 24.0, "Łódź"), ("u2", "u2", None, ""), ("u3", "u3", None, None)]
    assert tables.items.to_dict(as_series=False) == {**{"id": ITEMS["sku"]}, **ITEMS, "title": ["Æble", "", " "], "price": [1.0, None, 3.0]}
    assert (tables.display, tables.time_unit) == ("title", "us")


def test_no_table_of_queries_or_items_leaves_their_ids(folder: Path) -> None:
    tables = Table(**spec(folder, queries=None, items=None)).read()
    assert tables.queries.to_dict(as_series=False) == {"id": ["u1", "u2", "u9"], "uid": ["u1", "u2", "u9"]}
    assert tables.items["sku"].to_list() == ["a", "b", "zz"]
    assert tables.declaration.queries == {"uid": FeatureSpec(kind="categorical")}
    assert tables.declaration.items == {"sku": FeatureSpec(kind="categorical")}
    assert tables.display is None


def test_a_column_called_path_enters_the_fingerprint(folder: Path) -> None:
    def source(kind: str, place: Path) -> Table:
        events = {"path": str(place / "events.csv"), "query": "uid", "item": "sku", "context": {"path": kind}}
        return Table(interactions=events, items={"path": str(place / "items.parquet"), "id": "sku", "features": {"path": kind}})

    moved = folder / "moved"
    moved.mkdir()
    for name in ("events.csv", "items.parquet"):
        (moved / name).write_bytes((folder / name).read_bytes())
    assert source("text", folder).fingerprint() == source("text", moved).fingerprint()
    assert source("text", folder).fingerprint() != source("categorical", folder).fingerprint()


def test_the_default_node_is_a_source_that_lacks_a_path_only() -> None:
    with pytest.raises(DataError, match=r"data\.interactions\.path is not set"):
        Table().read()


def test_ids_are_the_same_text_in_every_format(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1.0, 2.0, None], "item_id": [7, 8, 9]}).write_parquet(tmp_path / "events.parquet")
    (tmp_path / "items.jsonl").write_text('{"item_id": 7}\n{"item_id": "8"}\n')
    tables = Table(interactions={"path": str(tmp_path / "events.parquet")}, items={"path": str(tmp_path / "items.jsonl")}).read()
    assert tables.interactions.rows() == [("1", "7"), ("2", "8")]
    assert tables.time_unit == "step"


def test_a_value_is_the_same_text_whatever_the_others_of_its_column_are(tmp_path: Path) -> None:
    """A query that is asked later says 4.0 or 4 alone: beside 3.5 it must not have become another category."""
    frame = pl.DataFrame(
        {"user_id": ["u", "u", "v"], "item_id": [7.0, 8.0, None], "stars": [3.5, 4.0, 4.0], "shown": [[7.0, 9.0], [8.5], []]}
    )
    frame.write_parquet(tmp_path / "events.parquet")
    nodes = {"path": str(tmp_path / "events.parquet"), "context": {"stars": "categorical"}, "impressions": "shown"}
    tables = Table(interactions=nodes).read()  # type: ignore[arg-type]  # a node as a config gives it
    assert tables.interactions["stars"].to_list() == ["3.5", "4"]
    assert tables.interactions["negatives"].to_list() == [["7", "9"], ["8.5"]]
    assert tables.items["id"].to_list() == ["7", "8", "9", "8.5"]


def test_a_csv_id_keeps_its_zeros(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id\n007,01\n")
    assert Table(interactions={"path": str(tmp_path / "events.csv")}).read().interactions.rows() == [("007", "01")]


def test_an_event_may_carry_its_text_weight_and_part(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "session,query,clicked,grade,fold\ns1,red shoes,a,2,train\ns1,,b,1,dev\ns2,red shoes,a,0,test\ns2,blue,a,,Test\n"
    )
    events = {"path": str(tmp_path / "log.csv"), "query": "session", "item": "clicked", "text": "query", "weight": "grade", "split": "fold"}
    tables = Table(interactions=events, split={"kind": "given"}, valid_share=0.3).read()
    assert tables.interactions.select("query", "item", "text", "weight", "split").rows() == [
        ("s1", "a", "red shoes", 2.0, "train"),
        ("s1", "b", "", 1.0, "valid"),
        ("s2", "a", "blue", 1.0, "test"),
    ]
    assert tables.counts == {"interactions with weight 0": 1}
    assert tables.declaration.text
    assert tables.declaration.queries == {}
    assert tables.declaration.split == SplitSpec(kind="given", valid=0.3)


def test_without_an_id_each_text_is_a_query(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("text,item\nred,a\n  ,a\nblue,a\nred,b\n")
    tables = Table(interactions={"path": str(tmp_path / "log.csv"), "query": None, "item": "item", "text": "text"}).read()
    assert tables.queries.rows() == [("q0", "red"), ("q1", "blue")]
    assert tables.interactions.select("query", "item").rows() == [("q0", "a"), ("q1", "a"), ("q0", "b")]
    assert "text" not in tables.interactions.columns
    assert tables.counts == {"interactions with an empty text": 1}


def test_the_moments_of_a_temporal_split_are_in_the_unit_of_the_tables(folder: Path) -> None:
    tables = Table(**spec(folder, split={"kind": "temporal", "valid_from": 20, "test_from": 30}, valid_share=0.2)).read()
    assert tables.declaration.split == SplitSpec(kind="temporal", valid_from=20_000_000, test_from=30_000_000, valid=0.2)


def test_an_id_column_called_id_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user,id\nx,a\n")
    (tmp_path / "items.csv").write_text("id,name\na,Anna\nb,Bob\n")
    events = {"path": str(tmp_path / "events.csv"), "query": "user", "item": "id"}
    tables = Table(interactions=events, items={"path": str(tmp_path / "items.csv"), "features": {"id": "categorical"}}).read()
    assert tables.items.to_dict(as_series=False) == {"id": ["a", "b"], "name": ["Anna", "Bob"]}
    assert tables.display == "name"


def test_a_column_id_beside_the_id_gives_way(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id\nx,a\n")
    (tmp_path / "items.csv").write_text("id,item_id\n5,a\n")
    tables = Table(interactions={"path": str(tmp_path / "events.csv")}, items={"path": str(tmp_path / "items.csv")}).read()
    assert tables.items.to_dict(as_series=False) == {"id": ["a"], "item_id": ["a"]}


def test_files_in_a_folder_whose_columns_cannot_be_one_are_named(folder: Path) -> None:
    parts = folder / "parts"
    parts.mkdir()
    pl.DataFrame(ITEMS)[:2].write_parquet(parts / "1.parquet")
    pl.DataFrame(ITEMS)[2:].with_columns(tags=pl.lit("x|y")).write_parquet(parts / "2.parquet")
    with pytest.raises(DataError, match=r"parts/2.parquet: the column 'tags' holds String, but List\(String\) in .*1.parquet; write"):
        Table(**spec(folder, items={"path": str(parts)})).read()


def test_files_in_a_folder_are_one_table(folder: Path) -> None:
    parts = folder / "parts"
    parts.mkdir()
    frame = pl.DataFrame(EVENTS)
    frame[:3].write_csv(parts / "1.csv")
    frame[3:].write_csv(parts / "2.csv")
    parted = Table(**spec(folder, interactions={"path": str(parts)})).read()
    assert parted.interactions.equals(Table(**spec(folder)).read().interactions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interactions": {"query": "user"}}, "events.csv has no column 'user'; its columns are uid, sku, at, device"),
        ({"interactions": {"item": "SKU"}}, r"events.csv has no column 'SKU' \(did you mean 'sku'\?\)"),
        ({"interactions": {"time": "device"}}, "events.csv, column 'device': 'tv' in row 1 is no time"),
        ({"interactions": {"weight": "device"}}, "column 'device' is declared numeric but holds 'tv' in row 1"),
        ({"interactions": {"context": {"dev": "text"}}}, r"events.csv has no column 'dev' \(did you mean 'device'\?\)"),
        ({"interactions": {"split": "device"}, "split": {"kind": "given"}}, "column 'device': 'tv' in row 1 names no part; allowed are"),
        ({"queries": {"features": {"city": "numeric"}}}, "users.csv, column 'city' is declared numeric but holds 'Łódź' in row 1"),
        ({"items": {"features": {"tags": "categorical"}}}, r"items.parquet, column 'tags' holds List\(String\)"),
        ({"items": {"features": {"took": "categorical"}}}, r"items.parquet, column 'took' holds Duration\(time_unit='us'\): ids"),
        ({"items": {"features": {"price": "time"}}}, "column 'price' is declared as a time, but its numbers are too small"),
        (
            {"items": {"id": "extra"}},
            "none of the 5 interactions names a known item: they name item ids such as 'a', data.items has ids such as '1'",
        ),
        ({"interactions": {"path": "nowhere/events.csv"}}, r"data\.interactions\.path=nowhere/events\.csv: there is no folder nowhere"),
    ],
)
def test_what_contradicts_the_declaration_is_one_clear_error(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Table(**spec(folder, **change)).read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sku,title\na,x\nb,y\na,z\n", "items.csv, column 'sku': id 'a' is in rows 1 and 3; each id must occur once"),
        ("sku,title\na,x\nb,y\na,z\nb,z\n", "rows 1 and 3, and 1 other id.* occur more than once"),
        ("sku,title\na,x\n,y\n", r"items.csv, column 'sku': 1 row\(s\) have no id, the first is row 2"),
        ("sku,title\na,x\nb\n", r"items.csv: line 3 has 1 column\(s\), the first line has 2"),
        ("", "items.csv is empty"),
        ("sku,title\n", "items.csv has no rows"),
    ],
)
def test_a_bad_table_of_items_is_one_clear_error(folder: Path, content: str, message: str) -> None:
    (folder / "items.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        Table(**spec(folder, items={"path": str(folder / "items.csv"), "features": {"title": "text"}})).read()


def test_no_usable_event_is_an_error_with_the_reasons(folder: Path) -> None:
    (folder / "events.csv").write_text("uid,sku,at,device\n,a,1,x\nu1,a,,x\n")
    with pytest.raises(DataError, match=r"no interaction is left to use \(interactions without query: 1; interactions without time: 1"):
        Table(**spec(folder)).read()


@pytest.mark.parametrize(("weights", "kept"), [("1,1,", [1, 1, 1]), ("2,0,", [2, 1])])
def test_the_weight_may_be_a_label_too(tmp_path: Path, weights: str, kept: list[int]) -> None:
    """As a weight and as a label a missing one is 1; where all are 1, the label is still there."""
    rows = "".join(f"u{row},a,{weight}\n" for row, weight in enumerate(weights.split(",")))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,weight\n{rows}")
    tables = Table(interactions={"path": str(tmp_path / "events.csv"), "weight": "weight", "labels": ["weight"]}).read()
    assert tables.interactions["weight"].to_list() == kept


def test_the_time_may_be_context_too(folder: Path) -> None:
    """In the unit that was told for it, though by their size the numbers would only order."""
    pl.DataFrame({"uid": ["u1"], "sku": ["a"], "time": [7_200]}).write_csv(folder / "timed.csv")
    timed = {"path": str(folder / "timed.csv"), "time": "time", "context": {"time": "time"}}
    assert Table(**spec(folder, interactions=timed)).read().interactions["time"].to_list() == [7_200_000_000]


def test_a_time_that_no_row_has_is_missing(folder: Path) -> None:
    assert Table(**spec(folder, items={"features": {"never": "time"}})).read().items["never"].to_list() == [None] * 3


@pytest.mark.parametrize("weights", ["-1", "inf"])
def test_a_weight_is_a_finite_number_not_below_zero(tmp_path: Path, weights: str) -> None:
    (tmp_path / "events.csv").write_text(f"user_id,item_id,w\nu,a,1\nu,b,{weights}\n")
    with pytest.raises(DataError, match=r"events.csv, column 'w': the weight in row 2 is"):
        Table(interactions={"path": str(tmp_path / "events.csv"), "weight": "w"}).read()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interactions": {"weigth": "at"}}, r"data\.interactions\.weigth is no key: .*did you mean 'weight'"),
        ({"interactions": {"time_unit": "sec"}}, "time_unit='sec' is none of auto, s, ms"),
        ({"interactions": {"query": None}}, "neither query nor text is set"),
        ({"interactions": {"query": None, "text": "device"}}, r"data\.queries is set, but data\.interactions\.query is not"),
        ({"interactions": {"context": {"weight": "numeric"}}}, r"context\.weight: a context column cannot be called weight"),
        ({"interactions": {"weight": "weight", "context": {"weight": "numeric"}}}, r"context\.weight: a context column cannot be called"),
        ({"interactions": {"context": {"row": "categorical"}}}, r"context\.row: a context column cannot be called row"),
        ({"interactions": {"context": {"id": "categorical"}}}, r"context\.id: a context column cannot be called id"),
        ({"interactions": {"labels": ["row"]}}, "a label cannot be called row"),
        ({"interactions": {"time": "time", "context": {"time": "numeric"}}}, r"context\.time: a context column cannot be called time"),
        ({"interactions": {"context": {"sku": "categorical"}}}, r"context\.sku names the item of the event, which is what the query is to"),
        ({"interactions": {"context": {"age": "numeric"}}}, "two features of the query side are called 'age'"),
        ({"interactions": {"split": "device"}}, r"data\.split\.kind=leave_last_out and data\.interactions\.split=device"),
        ({"split": {"kind": "given"}}, r"data\.split\.kind=given and data\.interactions\.split=None"),
        ({"interactions": {"time": None}, "statistics": ["rate_7d"]}, "rate_7d needs a time for each interaction"),
        ({"interactions": {"time": None}, "split": {"kind": "temporal", "test_from": 3}}, "split.kind=temporal needs a time"),
        ({"queries": {"path": None}}, r"data\.queries\.features\.age is a column of a table, but data\.queries\.path is not set"),
        ({"items": {"features": {"id": "categorical"}}}, r"data\.items\.features\.id: the id is the column 'sku'"),
        ({"items": {"features": {}}}, r"data\.items\.features declares none"),
        ({"queries": {"features": {}}, "history": None, "interactions": {"context": None}}, r"data\.queries\.features declares none"),
        ({"history": {"length": 3}}, r"data\.history\.length is no key"),
        ({"statistics": ["rate"]}, "'rate' is no statistic"),
        ({"valid_share": 2}, "valid_share=2 is no share"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_before_reading(folder: Path, change: dict[str, Any], message: str) -> None:
    nodes = spec(folder, **change)
    shutil.rmtree(folder)
    with pytest.raises(ConfigError, match=message):
        Table(**nodes)


def test_items_shown_and_what_came_of_an_event(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["u", "u", "v"],
            "item_id": ["a", "b", "a"],
            "shown": ["a| c|", None, "d"],
            "rating": ["4", "", "inf"],
            "score": [0.5, float("inf"), float("nan")],
        }
    )
    frame.write_csv(tmp_path / "events.csv")
    nodes = {"path": str(tmp_path / "events.csv"), "impressions": "shown", "labels": ["rating"], "teacher": "score"}
    tables = Table(interactions=nodes).read()  # type: ignore[arg-type]  # a node as a config gives it
    assert tables.interactions["negatives"].to_list() == [["a", "c"], [], ["d"]]
    assert tables.interactions["rating"].to_list() == [4.0, None, None], "an infinite label would make every loss infinite"
    assert tables.interactions["teacher"].to_list() == [0.5, None, None]
    assert tables.items["id"].to_list() == ["a", "b", "c", "d"]
    lists = frame.with_columns(shown=pl.Series([["a", "c"], None, ["d"]]))
    lists.write_parquet(tmp_path / "events.parquet")
    again = Table(interactions={**nodes, "path": str(tmp_path / "events.parquet")}).read()  # type: ignore[arg-type]
    assert again.interactions["negatives"].to_list() == tables.interactions["negatives"].to_list()


def test_events_that_agree_but_in_what_was_shown_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,item_id,shown\nu,a,b|c\nu,a,d\nu,a,b|c\n")
    tables = Table(interactions={"path": str(tmp_path / "events.csv"), "impressions": "shown"}).read()
    assert tables.interactions["negatives"].to_list() == [["b", "c"], ["d"]]
    assert tables.counts == {"duplicate interactions": 1}


@pytest.mark.parametrize(
    ("interactions", "message"),
    [
        ({"labels": ["rating"], "context": {"rating": "numeric"}}, "'rating' is a label and a context feature"),
        ({"labels": ["time"]}, "a label cannot be called time"),
        ({"impressions": "shown", "impressions_sep": ""}, "impressions_sep is empty"),
    ],
)
def test_a_label_is_no_feature(interactions: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Table(interactions={"path": "events.csv", **interactions})  # type: ignore[arg-type]  # a node as a config gives it


def test_paths_are_below_the_folder_that_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events, users = {"path": "events.csv", "query": "uid", "item": "sku"}, {"path": str(folder / "users.csv"), "id": "uid"}
    below = Table(path=str(folder), interactions=events, queries=users)
    monkeypatch.chdir(folder)
    here = Table(interactions=events, queries=users)
    assert below.read().interactions.equals(here.read().interactions)
    assert below.fingerprint() == here.fingerprint()


@pytest.mark.parametrize(("time", "kept"), [("at", [("u", "b"), ("u", "a"), ("v", "a")]), (None, [("u", "a"), ("u", "b"), ("v", "a")])])
def test_first_finds_are_kept_alone(tmp_path: Path, time: str | None, kept: list[tuple[str, str]]) -> None:
    (tmp_path / "log.csv").write_text("uid,sku,at\nu,a,9\nu,b,1\nu,a,2\nv,a,3\nv,a,4\n")
    tables = Table(
        path=str(tmp_path), interactions={"path": "log.csv", "query": "uid", "item": "sku", "time": time, "repeats": "first"}
    ).read()
    assert tables.interactions.select("query", "item").rows() == kept
    assert tables.counts.get("repeated interactions", 0) == (2 if time else 0), "without a time, they are duplicates"


def test_what_is_only_looked_back_on(tmp_path: Path) -> None:
    """Learnt from: a at 5, b at 6. Asked: c at 10 of u, which had a before; d at 20. Histories hold everything that came before."""
    lines = ["u,z,1", "u,a,5", "u,b,6", "u,a,10", "u,c,10", "u,c,20", "u,d,20", "v,a,5", "v,a,21"]
    (tmp_path / "log.csv").write_text("uid,sku,at\n" + "\n".join(lines) + "\n")
    table = Table(
        path=str(tmp_path),
        interactions={"path": "log.csv", "query": "uid", "item": "sku", "time": "at", "time_unit": "step", "repeats": "learn"},  # type: ignore[arg-type]
        split={"kind": "temporal", "learn_from": 5, "valid_from": 10, "test_from": 20},  # type: ignore[arg-type]
    )
    prepare(table.read(), folder=tmp_path / "set")
    dataset = Dataset.load(tmp_path / "set")
    names = dataset.item_ids.to_list()

    def items(rows: Any) -> list[str]:
        return sorted(names[row] for row in rows)

    assert items(dataset.train.item_rows) == ["a", "a", "b"]
    valid, test = dataset.eval_part("valid"), dataset.eval_part("test")
    assert [items(valid.relevant.row(row)) for row in range(len(valid))] == [["c"]]
    assert [items(test.relevant.row(row)) for row in range(len(test))] == [["d"]]
    assert items(valid.seen.row(0)) == ["a", "b", "z"]
    assert items(test.seen.row(0)) == ["a", "b", "c", "z"]
    assert len(dataset.timeline("test").items) == 6, "u: z a b a c; v: a"
