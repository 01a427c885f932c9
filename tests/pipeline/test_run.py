"""Whole runs on a table that can be learnt: what they leave, what they reuse, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from toy_table import ITEMS, USERS, write_table

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.registry import Registry
from tt_hydra.config.build import build
from tt_hydra.config.check import check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.problems import refuse
from tt_hydra.config.rules import RUN_RULES
from tt_hydra.contracts import Features
from tt_hydra.errors import DataError, TTHydraError
from tt_hydra.metrics.exact import exact_search
from tt_hydra.pipeline.embed import EmbedSettings, embed
from tt_hydra.pipeline.evaluate import EvaluateBundleSettings, evaluate
from tt_hydra.pipeline.run import RunResult, run
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.update import UpdateSettings, update
from tt_hydra.serve.catalogue import Items
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.tower.two_tower import TwoTower

SMALL = [
    *("embedding_dim=8", "tower.feature_dim=8", "tower.text_buckets=64", "train.batch_size=96", "train.max_epochs=3", "logger=none"),
    *("evaluate.resamples=20", "evaluate.latency_queries=10", "runtime.progress_bar=false"),
]
Run = Callable[..., RunResult]


def reused(result: RunResult) -> Mapping[str, bool]:
    return {name: record.reused for name, record in result.stages.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def go(root: Path) -> Run:
    table = write_table(root / "table")
    count = iter(range(1000))

    def go(*overrides: str, data: list[str] | None = None, small: list[str] = SMALL) -> RunResult:
        given = [*(table if data is None else data), *small, f"runtime.outputs={root}/outputs", *overrides]
        config, problems = compose(make_loader([]), "run", given)
        assert not problems
        checked = check(config, COMMANDS["run"], RUN_RULES, {"runtime.run_dir": str(root / "outputs" / "run" / str(next(count)))})
        refuse([problem for problem in checked.problems if not problem.warning])
        settings = build(checked, RunSettings)
        settings.runtime.run_dir.mkdir(parents=True)
        return run(settings)

    return go


@pytest.fixture(scope="module")
def first(go: Run) -> RunResult:
    return go()


def test_a_run_leaves_figures_report_and_bundle(first: RunResult, root: Path) -> None:
    metrics = json.loads((first.run_dir / "metrics.json").read_text(encoding="utf-8"))
    assert metrics == dict(first.metrics)
    assert (first.run_dir / "report.html").stat().st_size > 0
    assert (root / "outputs" / "run" / "latest").resolve() == first.run_dir.resolve()
    assert Bundle.load(first.run_dir / "bundle").manifest.num_items == ITEMS


def test_every_promised_figure_is_there(first: RunResult) -> None:
    quality = [f"recall@{depth}" for depth in (10, 20, 50, 100)] + ["ndcg@10", "mrr@10"]
    promised = {f"{part}/{kind}/{name}" for part in ("valid", "test") for kind in ("model", "index") for name in quality}
    promised |= {f"{part}/ann/recall@10{end}" for part in ("valid", "test") for end in ("", "/ci_low", "/ci_high")}
    promised |= {f"{what}/{name}" for what in ("search", "query") for name in ("p50_ms", "p95_ms", "p99_ms")}
    promised |= {"index/bytes_per_item", "index/build_s", "budget/met", "train/examples_per_s", "embed/items_per_s"}
    promised |= {f"stage/{stage}/{what}" for stage in (*first.stages, "report") for what in ("seconds", "reused")}
    assert promised <= first.metrics.keys()
    assert all(np.isfinite(value) for value in first.metrics.values())


def test_training_beats_untrained_towers(go: Run) -> None:
    untrained, trained = go("train.max_epochs=0"), go("train.max_epochs=30", "train.patience=null", "optimizer.lr=0.02")
    assert trained.metrics["test/model/recall@20"] > untrained.metrics["test/model/recall@20"] + 0.2


def test_the_same_again_reuses_everything(first: RunResult, go: Run) -> None:
    again = go()
    assert all(reused(again).values())
    assert {key: value for key, value in again.metrics.items() if "stage/" not in key} == {
        key: value for key, value in first.metrics.items() if "stage/" not in key
    }


def test_another_index_trains_nothing(first: RunResult, go: Run) -> None:
    other = go("index=hnsw", "quantization=fp16")
    assert reused(other) == {"prepare": True, "train": True, "embed": True, "index": False, "evaluate": False}
    assert other.metrics["test/model/recall@10"] == first.metrics["test/model/recall@10"]
    ages = [datetime.fromisoformat(Bundle.load(each.run_dir / "bundle").manifest.trained_at) for each in (first, other)]
    made = datetime.fromtimestamp((first.run_dir / "bundle" / "manifest.json").stat().st_mtime).astimezone()
    assert ages[0] == ages[1] <= made, "the model is as old as its training"


def test_the_same_data_in_another_place_is_the_same_data(first: RunResult, go: Run, tmp_path: Path) -> None:
    assert all(reused(go(data=write_table(tmp_path / "moved here"))).values())


def test_where_and_how_loudly_changes_nothing(first: RunResult, go: Run) -> None:
    assert all(reused(go("runtime.embed_batch_size=7", "runtime.set_latest=false", "logger=csv")).values())


def test_queries_are_timed_in_the_format_that_they_are_served_in(go: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    embed, alone = TwoTower.embed_queries, []

    def seen(self: TwoTower, features: Features) -> Tensor:
        if features.size == 1:
            alone.append(torch.is_autocast_enabled("cpu"))
        return embed(self, features)

    monkeypatch.setattr(TwoTower, "embed_queries", seen)
    go("train.precision=bf16", "train.max_epochs=0")
    assert alone
    assert all(alone)


def test_the_bundle_searches_as_the_pipeline_did(first: RunResult) -> None:
    retriever = Retriever.load(first.run_dir / "bundle")
    hits = retriever.search(query_id="u3", k=5)
    vectors = retriever.bundle.item_vectors
    vector = retriever.embed_queries([Query(query_id="u3")])
    wanted = exact_search(vector, vectors, 5, "cosine")
    ids = retriever.bundle.items("id")["id"].to_list()
    assert [hit.id for hit in hits] == [ids[row] for row in wanted.rows[0]]


def test_an_item_is_embedded_with_its_neighbors(go: Run) -> None:
    retriever = Retriever.load(go("data.neighbors=4", "tower.join=sum").run_dir / "bundle")
    bundle = retriever.bundle
    rows = bundle.items("id", "title", "neighbors")
    some = rows.filter(pl.col("neighbors").list.len() > 0)
    stored = bundle.item_vectors[[bundle.items("id")["id"].to_list().index(item) for item in some["id"]]]
    np.testing.assert_allclose(retriever.embed_items(some.to_dicts()), stored, atol=1e-6)
    alone = retriever.embed_items(some.drop("neighbors").to_dicts())
    assert (np.abs(alone - stored).max(axis=1) > 1e-3).all()


def test_a_bias_of_each_item_is_trained_kept_and_searched(go: Run) -> None:
    retriever = Retriever.load(go("metric=dot", "item_bias=true", "index=hnsw").run_dir / "bundle")
    vectors, query = retriever.bundle.item_vectors, retriever.embed_queries([Query(query_id="u3")])
    assert query[:, -1].tolist() == [1.0]
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :-1], axis=1), 1.0, atol=1e-6)
    assert vectors[:, -1].std() > 1e-3, "what is taken more often has another bias than what is not"
    ids = retriever.bundle.items("id")["id"].to_list()
    wanted = exact_search(query, vectors, 5, "dot")
    assert [hit.id for hit in retriever.search(query_id="u3", k=5)] == [ids[row] for row in wanted.rows[0]]


def test_a_missed_budget_runs_and_says_so(first: RunResult, go: Run, caplog: pytest.LogCaptureFixture) -> None:
    result = go("budget.bytes_per_item=1")
    assert result.metrics["budget/met"] == 0
    assert "budget.bytes_per_item=1, measured" in caplog.text
    assert first.metrics["budget/met"] == 1
    assert reused(result)["index"]


def test_ready_made_vectors_need_no_training(go: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "items.npy", random.normal(size=(200, 16)).astype(np.float32))
    np.save(tmp_path / "queries.npy", random.normal(size=(40, 16)).astype(np.float32))
    result = go(data=["data=vectors", f"data.path={tmp_path}"], small=SMALL[5:])
    assert "train" not in result.stages
    assert result.metrics["test/ann/recall@10"] == 1.0
    assert "test/model/recall@10" not in result.metrics
    assert (result.run_dir / "report.html").exists()


def test_texts_train_tied_towers(go: Run, tmp_path: Path) -> None:
    words = ["sea", "war", "love", "space", "horse", "train", "music", "stone"]
    rows = [(f"a question about the {word} number {number}", f"all about {word}") for word in words for number in range(12)]
    pl.DataFrame(rows, schema=["query", "positive"], orient="row").write_csv(tmp_path / "pairs.csv")
    result = go(data=["data=pairs", f"data.path={tmp_path}/pairs.csv"], small=[*SMALL[1:5], "embedding_dim=8"])
    retriever = Retriever.load(result.run_dir / "bundle")
    assert len(retriever.search(text="what about the horse?", k=3)) == 3


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["negatives=given"], "data=table names none"),
        (["index=ivf", "index.nlist=900"], "nearest possible nlist"),
        (["quantization=pq", "quantization.m=3"], r"quantization\.m=3"),
        (["index=factory", "index.spec=Nonsense12"], "Nonsense12"),
    ],
)
def test_what_cannot_work_is_refused_before_the_training(overrides: list[str], told: str, go: Run, root: Path) -> None:
    before = sorted((root / "outputs" / "store" / "train").glob("*"))
    with pytest.raises(TTHydraError, match=told):
        go(*overrides, "seed=77")
    assert sorted((root / "outputs" / "store" / "train").glob("*")) == before


def test_nothing_to_train_on_is_refused_unless_nothing_is_trained(go: Run, tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "part": ["test", "test"]}).write_csv(tmp_path / "events.csv")
    data = ["data=table", f"data.interactions.path={tmp_path}/events.csv", "data.interactions.split=part", "data.split.kind=given"]
    with pytest.raises(DataError, match=r"train\.max_epochs=0"):
        go(data=data)
    assert go("train.max_epochs=0", data=data).metrics["test/model/recall@10"] == 1.0


def test_each_user_is_judged_once(first: RunResult, root: Path) -> None:
    per_query = pl.read_parquet(root / "outputs" / "store" / "evaluate" / first.stages["evaluate"].key / "per_query_test.parquet")
    assert sorted(per_query["query"]) == sorted(f"u{user}" for user in range(USERS))
    assert per_query["model/recall@10"].mean() == pytest.approx(first.metrics["test/model/recall@10"], abs=1e-6)


@pytest.fixture
def odd_items(tmp_path: Path) -> list[str]:
    """Items whose file says times in seconds, lists as floats, and numbers as texts with blanks; the overrides that declare them."""
    events = pl.DataFrame({"user": [f"u{row % 6}" for row in range(36)], "item": [row * 7 % 12 for row in range(36)], "at": range(36)})
    events.write_parquet(tmp_path / "events.parquet")
    columns = {"born": [1_700_000_000 + 40_000 * row for row in range(12)], "tags": [[row % 3 + 0.0, 7.5] for row in range(12)]}
    pl.DataFrame({"sku": range(12), **columns, "price": [f" {row}.5 " for row in range(12)]}).write_parquet(tmp_path / "items.parquet")
    return [
        *("data=table", f"data.path={tmp_path}", "data.interactions.path=events.parquet", "data.interactions.query=user"),
        *("data.interactions.item=item", "data.interactions.time=at", "data.items.path=items.parquet", "data.items.id=sku"),
        "data.items.features={born: time, tags: multi, price: numeric}",
    ]


def test_the_file_of_the_training_embeds_and_updates_to_what_was_trained(go: Run, odd_items: list[str], tmp_path: Path) -> None:
    run = go("train.max_epochs=1", "train.batch_size=8", data=odd_items)
    bundle, file = Bundle.load(run.run_dir / "bundle"), str(tmp_path / "items.parquet")
    embed(EmbedSettings(bundle=str(bundle.folder), side="item", input=file, output=str(tmp_path / "v.npy"), outputs=tmp_path))
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), bundle.item_vectors, atol=1e-6)
    update(UpdateSettings(bundle=str(bundle.folder), items=file, id="sku", outputs=tmp_path))
    (change,) = Registry(tmp_path / "registry").log.read(0)
    order = [bundle.item_ids.index(str(item["id"])) for item in change.items]
    np.testing.assert_allclose(change.vectors, np.asarray(bundle.item_vectors)[order], atol=1e-6)


@pytest.mark.parametrize("born", ["2023-11-14T22:13:20", "2023-11-14T23:13:20+01:00", 1_700_000_000_000_000])
def test_a_written_item_says_its_times_as_a_query_does(go: Run, odd_items: list[str], born: object) -> None:
    items = Items(Retriever.load(go("train.max_epochs=0", data=odd_items).run_dir / "bundle"))
    written = items.row({"id": "n", "born": born, "tags": ["1"], "price": 2.5})
    assert written == {"id": "n", "born": 1_700_000_000_000_000, "tags": ["1"], "price": 2.5}
    with pytest.raises(DataError, match=r"feature 'born' is a time: give an ISO date and time or microseconds since 1970, got 'soon'"):
        items.row({"id": "n", "born": "soon"})


def test_evaluate_leaves_out_what_the_run_left_out_and_holds_nothing_against_its_budget(go: Run, root: Path, tmp_path: Path) -> None:
    run = go("evaluate.exclude_seen=false", "budget.bytes_per_item=1", "train.max_epochs=1")
    config, _ = compose(make_loader([]), "evaluate", [*write_table(root / "table"), f"bundle={run.run_dir}", f"outputs={root}/outputs"])
    checked = check(config, COMMANDS["evaluate"], (), {"run_dir": str(tmp_path)})
    found = evaluate(build(checked, EvaluateBundleSettings))
    assert run.metrics["budget/met"] == 0
    assert "budget/met" not in found
    for metric in ("recall@10", "recall@100", "ndcg@10"):
        assert found[f"test/model/{metric}"] == pytest.approx(run.metrics[f"test/model/{metric}"])


def test_the_report_names_both_towers_and_items_without_titles(go: Run, odd_items: list[str]) -> None:
    small = [each for each in SMALL if not each.startswith("tower.")]
    towers = ["tower@query_tower=sequence", "tower@item_tower=dcn"]
    run = go("train.max_epochs=0", *towers, data=[*odd_items[:8], "data.items.features={sku: categorical}"], small=small)
    report = (run.run_dir / "report.html").read_text()
    assert "sequence and dcn towers" in report
    assert "<li></li>" not in report
