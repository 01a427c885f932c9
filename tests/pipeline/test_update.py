from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tt_hydra import cli
from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.changes import ChangeLog
from tt_hydra.artifact.registry import Registry
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.contracts import Health
from tt_hydra.data.dataset import Dataset
from tt_hydra.errors import BundleError, ConfigError, DataError, IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.compaction import Compaction
from tt_hydra.index.factory import Factory
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.ivf import Ivf
from tt_hydra.pipeline.publish import Gate
from tt_hydra.pipeline.serve import ServeSettings, _upkeep
from tt_hydra.pipeline.update import Updated, UpdateSettings, update
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.serve.engine import Engine
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.settings import ServeOptions

NEW = {"id": "new", "title": "a film about the sea", "genres": ["a", "b"], "year": 1987}
AGAIN = {"id": "i3", "title": "the third film, cut anew", "genres": [], "year": None}
OPEN = Gate(quality=1.0, recall=1.0, latency=1e6)
NEVER = Compaction(least_rows=10_000)


pytestmark = pytest.mark.usefixtures("few_calls")


@pytest.fixture
def registry(tmp_path: Path, parts: Parts) -> Registry:
    registry = Registry(tmp_path / "outputs" / "registry")
    registry.publish(write_bundle(tmp_path / "bundle", parts))
    return registry


def files(folder: Path, rows: list[dict[str, Any]], deleted: list[str]) -> dict[str, str]:
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "new.parquet")
    (folder / "ids.txt").write_text("\n".join(deleted) + "\n")
    return {"items": str(folder / "new.parquet"), "delete": str(folder / "ids.txt")}


def updated(folder: Path, **given: Any) -> Updated:
    given = {"gate": OPEN, "compaction": NEVER, **given}
    return update(UpdateSettings(outputs=folder / "outputs", **given))


def test_a_batch_is_in_the_log_with_its_vectors(tmp_path: Path, registry: Registry) -> None:
    done = updated(tmp_path, **files(tmp_path, [NEW, AGAIN], ["i1", "nobody", "i1", "Ü, 'q'"]))
    assert (done.upserted, done.deleted, list(done.unknown), done.reason) == (2, 2, ["nobody"], None)
    gone, written = ChangeLog(registry.changes).read(0)
    assert done.sequence == written.seq == 2
    assert list(gone.deleted) == ["i1", "Ü, 'q'"]
    assert [dict(row) for row in written.items] == [NEW, AGAIN]
    retriever = Retriever.load(registry.version(1).folder)
    assert written.vectors is not None
    np.testing.assert_allclose(written.vectors, retriever.embed_items([NEW, AGAIN]), atol=1e-6)
    assert written.model == retriever.bundle.manifest.model_fingerprint
    assert registry.current == 1


def test_a_running_server_sees_it_and_the_version_that_is_built_of_it(tmp_path: Path, registry: Registry) -> None:
    engine = Engine(registry, ServeOptions(runtime="torch"))
    query = Query(vector=Retriever.load(registry.version(1).folder).embed_items([NEW])[0])
    assert engine.search([query], k=1).results[0][0].id != "new"
    updated(tmp_path, **files(tmp_path, [NEW, AGAIN], ["i1"]))
    engine.tail()
    assert engine.search([query], k=1).results[0][0].id == "new"
    before = [hit.id for hit in engine.search([query], k=100).results[0]]
    done = updated(tmp_path, compact=True)
    assert (done.version.number, done.reason, done.version.writes_through) == (2, "asked for", 2)
    engine.follow()
    answer = engine.search([query], k=100)
    assert answer.mark.version == 2
    assert [hit.id for hit in answer.results[0]] == before
    assert "i1" not in before
    engine.close()


def test_a_bound_that_is_passed_builds_the_catalogue_anew(tmp_path: Path, registry: Registry) -> None:
    bounds = Compaction(delta_share=0.02, least_rows=1)
    assert updated(tmp_path, **files(tmp_path, [AGAIN], ["nobody"]), compaction=Compaction(delta_share=0.05, least_rows=1)).reason is None
    done = updated(tmp_path, **files(tmp_path, [NEW], ["nobody"]), compaction=bounds)
    assert done.reason == "5% of the rows are beside the index, more than 2%", "2 of 42"
    assert done.version.manifest.num_items == 41
    assert (
        updated(tmp_path, **files(tmp_path, [NEW], ["nobody"]), compaction=bounds).reason
        == "2% of the rows are beside the index, more than 2%"
    )


def test_lists_that_have_become_uneven_make_it_due_as_in_a_server(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "index").mkdir()
    build_index(Ivf(nlist=4, nprobe=4), NoQuantization(), np.load(parts.item_vectors), parts.metric).save(tmp_path / "index")
    registry = Registry(tmp_path / "outputs" / "registry")
    bundle = Bundle.load(registry.publish(write_bundle(tmp_path / "bundle", replace(parts, index=tmp_path / "index"))).folder)
    index = bundle.load_index()
    assert isinstance(index, FaissIndex)
    assert index.lists is not None
    ids, of_row = bundle.item_ids, index.lists[0]
    emptied = [identifier for identifier, number in zip(ids, of_row, strict=True) if number in (0, 1)]
    engine = Engine(registry, ServeOptions(runtime="torch"))
    even = engine.served.state.snapshot.health.imbalance
    engine.delete(emptied)
    uneven = engine.served.state.snapshot.health.imbalance
    engine.close()
    assert even is not None
    assert uneven is not None
    assert uneven > even
    bounds = {"dead_share": 1.0, "delta_share": 1.0, "least_rows": 1}
    again = files(tmp_path, [AGAIN | {"id": next(each for each in ids if each not in emptied)}], ["nobody"])
    assert updated(tmp_path, **again, compaction=Compaction(imbalance=2 * uneven, **bounds)).reason is None
    done = updated(tmp_path, **again, compaction=Compaction(imbalance=(even + uneven) / 2, **bounds))
    assert done.reason is not None
    assert "the imbalance of the index's lists is" in done.reason


def test_what_was_written_is_told_where_the_catalogue_is_not_built_anew(tmp_path: Path, parts: Parts) -> None:
    """An index of 9 lists cannot be made of 6 items: 4 of 40 are left, and two are new."""
    (tmp_path / "index").mkdir()
    build_index(Factory(spec="IVF9,Flat"), NoQuantization(), np.load(parts.item_vectors), parts.metric).save(tmp_path / "index")
    registry = Registry(tmp_path / "outputs" / "registry")
    bundle = registry.publish(write_bundle(tmp_path / "bundle", replace(parts, index=tmp_path / "index"))).folder
    given = files(tmp_path, [NEW, NEW | {"id": "newer"}], Bundle.load(bundle).item_ids[4:])
    told = r"2 items are written and 36 deleted, change 2 of .* need not be given again.* not built anew: .*needs at least 9 vectors"
    with pytest.raises(IndexSpecError, match=told):
        updated(tmp_path, **given, compaction=Compaction(least_rows=1))
    assert (ChangeLog(registry.changes).last, registry.current) == (2, 1)
    with pytest.raises(IndexSpecError, match=r"^index"):
        updated(tmp_path, compact=True)
    with pytest.raises(ConfigError, match=r"2 items are written and 0 deleted, change 3 of .* not built anew: .*has the model"):
        updated(tmp_path, items=given["items"], delete=None, model=str(tmp_path / "bundle"))


def test_versions_beyond_those_to_keep_go_when_the_catalogue_is_built_anew(tmp_path: Path, registry: Registry) -> None:
    for number in range(3):
        updated(tmp_path, **files(tmp_path, [NEW | {"year": 1990 + number}], ["nobody"]), compact=True, compaction=Compaction(keep=None))
    assert [each.number for each in registry.versions()] == [1, 2, 3, 4]
    updated(tmp_path, **files(tmp_path, [NEW], ["nobody"]), compact=True, compaction=Compaction(keep=1))
    assert [each.number for each in registry.versions()] == [4, 5], "the current one and the one before it"


def test_a_bundle_that_is_not_there_is_published_first(tmp_path: Path, parts: Parts) -> None:
    with pytest.raises(BundleError, match="has no current version: bundle=latest publishes"):
        updated(tmp_path, **files(tmp_path, [NEW], ["i1"]))
    bundle = str(write_bundle(tmp_path / "bundle", parts).folder)
    done = updated(tmp_path, bundle=bundle, **files(tmp_path, [NEW], ["i1"]), compact=True)
    assert done.version.number == 2
    again = updated(tmp_path, bundle=bundle, **files(tmp_path, [NEW], ["i2"]))
    assert again.version.number == 2, "the current version was made from it"
    other = write_bundle(tmp_path / "other", replace(parts, measured={"x": 1.0}))
    assert updated(tmp_path, bundle=str(other.folder), **files(tmp_path, [NEW], ["i2"])).version.number == 3


def table(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,title,genres\nx,t,a\n", r"new\.csv has no column 'year': the item tower takes title, genres, year"),
        ("id,title,genres,yaer,year\nx,t,a,1,1\n", r"no column 'yaer'.*did you mean 'year'"),
        ("id,title,genres,year\nx,t,a,1\nx,u,a,1\ny,t,a,1\ny,t,a,1\n", r"2 ids occur more than once, the first is 'x'"),
        ("id,title,genres,year\n,t,a,1\n", r"new\.csv, row 1: there is no id"),
        ("id,title,genres,year\nx,t,a,1\ny,t,a,soon\n", r"column 'year' is declared numeric but holds 'soon' in row 2"),
        ("id,title,genres,year\n", r"new\.csv has no rows"),
        ("", r"new\.csv is empty"),
        ("name,title,genres,year\nx,t,a,1\n", r"no column 'id'.*name the column that holds ids with id=COLUMN"),
        ("id,title,genres,year\ni5,t,a,1\n", r"1 ids are in .*the first is 'i5': write an item or delete it"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, registry: Registry, text: str, told: str) -> None:
    (tmp_path / "ids.txt").write_text("i5\n")
    with pytest.raises(DataError, match=told):
        updated(tmp_path, items=table(tmp_path / "new.csv", text), delete=str(tmp_path / "ids.txt"))
    assert ChangeLog(registry.changes).last == 0


def test_files_that_are_not_there_or_hold_nothing(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match=r"delete=.*there is no such file"):
        updated(tmp_path, delete=str(tmp_path / "ids.txt"))
    with pytest.raises(DataError, match="is empty"):
        updated(tmp_path, delete=table(tmp_path / "ids.txt", "\n"))
    with pytest.raises(DataError, match=r"unknown format; the file's name must end in one of \.parquet"):
        updated(tmp_path, items=table(tmp_path / "new.xlsx", "x"))
    with pytest.raises(ConfigError, match="needs something to do"):
        updated(tmp_path)
    with pytest.raises(ConfigError, match="bridge=true needs model=BUNDLE"):
        updated(tmp_path, compact=True, bridge=True)
    assert ChangeLog(registry.changes).last == 0


def test_texts_of_a_table_become_what_the_catalogue_holds(tmp_path: Path, registry: Registry) -> None:
    text = "film,title,genres,year,poster\n7,about war,a|c,1987,\n8,,,,\n"
    updated(tmp_path, items=table(tmp_path / "new.csv", text), id="film", delete=table(tmp_path / "gone.csv", "film\ni1\n"))
    rows = [dict(row) for row in ChangeLog(registry.changes).read(1)[0].items]
    assert rows[0] == {"id": "7", "title": "about war", "genres": ["a", "c"], "year": 1987, "poster": None}
    assert rows[1]["id"] == "8"
    assert (rows[1]["genres"] or [], rows[1]["year"]) == ([], None)


def test_ready_made_vectors_are_given_with_the_items(tmp_path: Path, parts: Parts) -> None:
    shutil.copytree(parts.dataset.folder, tmp_path / "dataset")
    np.save(tmp_path / "dataset" / "query_vectors.npy", np.ones((12, 16), np.float32))
    given = replace(parts, model=None, reference=None, dataset=Dataset.load(tmp_path / "dataset"))
    bundle = str(write_bundle(tmp_path / "bundle", given).folder)
    rows = [{"id": "new", "vector": [0.5] * 16}]
    done = updated(tmp_path, bundle=bundle, **files(tmp_path, rows, ["i1"]), compact=True)
    assert (done.upserted, done.deleted, done.version.number) == (1, 1, 2)
    np.testing.assert_array_equal(Bundle.load(done.version.folder).item_vectors[-1], np.full(16, 0.5, np.float32))
    with pytest.raises(DataError, match="has no column 'vector'"):
        updated(tmp_path, **files(tmp_path, [{"id": "x"}], ["i2"]))


def test_the_command_says_what_it_did(
    tmp_path: Path, parts: Parts, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_bundle(tmp_path / "a bundle, (mine)", parts).folder
    given = files(tmp_path, [NEW, AGAIN], ["i1", "nobody"])
    words = ["update", f"bundle={folder}", f"items={given['items']}", f"delete={given['delete']}", f"outputs={tmp_path / 'outputs'}"]
    monkeypatch.setattr(sys, "argv", ["tt-hydra", *words])
    assert cli.status(words) == 0
    told = capsys.readouterr().out
    assert "wrote 2 items, deleted 1; 1 unknown ids were to be deleted, the first is 'nobody'; change 2 of" in told
    assert "version 1, 40 items in its index" in told
    more = ["update", "compact=true", "gate.quality=1", "gate.latency=1000", f"outputs={tmp_path / 'outputs'}"]
    assert cli.status(more) == 0
    assert "version 2, 40 items in its index, built anew: asked for" in capsys.readouterr().out
    bundle = Bundle.load(Registry(tmp_path / "outputs" / "registry").version(2).folder)
    assert bundle.items("id")["id"].to_list()[-2:] == ["new", "i3"]
    assert cli.status(["update", f"outputs={tmp_path / 'outputs'}"]) == 2
    assert "needs something to do" in capsys.readouterr().err


@pytest.mark.parametrize(("measured", "due_at"), [({}, 0.89), ({"valid/ann/recall@10": 0.87}, 0.81), ({"test/ann/recall@10": 0.99}, 0.89)])
def test_a_service_holds_live_recall_against_what_the_version_had(
    tmp_path: Path, parts: Parts, measured: dict[str, float], due_at: float
) -> None:
    registry = Registry(tmp_path / "outputs" / "registry")
    registry.publish(write_bundle(tmp_path / "bundle", replace(parts, measured=measured)))
    watch: Any = SimpleNamespace(recall_low=due_at)
    upkeep = _upkeep(registry, ServeSettings(outputs=tmp_path / "outputs"), watch)
    assert upkeep is not None
    health = Health(alive=40, base=40, delta=1, dead=1)
    assert "live recall" in str(upkeep.due(health))
    watch.recall_low = due_at + 0.02
    assert upkeep.due(health) is None


def test_a_named_column_of_ids_wins_over_a_column_id(tmp_path: Path, registry: Registry) -> None:
    rows = [{"id": "other", "film": "a", "title": "the first", "genres": [], "year": 1}]
    pl.DataFrame(rows, schema_overrides={"genres": pl.List(pl.String)}).write_parquet(tmp_path / "new.parquet")
    updated(tmp_path, items=str(tmp_path / "new.parquet"), id="film")
    updated(tmp_path, delete=str(tmp_path / "new.parquet"), id="film")
    written, gone = ChangeLog(registry.changes).read(0)
    assert ([item["id"] for item in written.items], list(gone.deleted)) == (["a"], ["a"])


def test_a_column_of_ids_that_the_catalogue_has_is_kept(tmp_path: Path, registry: Registry) -> None:
    pl.DataFrame([{"title": "the first", "genres": ["a"], "year": 1}]).write_parquet(tmp_path / "new.parquet")
    updated(tmp_path, items=str(tmp_path / "new.parquet"), id="title")
    (written,) = ChangeLog(registry.changes).read(0)
    assert [dict(item) for item in written.items] == [{"id": "the first", "title": "the first", "genres": ["a"], "year": 1}]
