"""Two finished runs, written by hand, and the comparison of real ones by the command line."""

from __future__ import annotations

import json
import os
import re
import shutil

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from tt_hydra.errors import ConfigError, DataError
from tt_hydra.pipeline.compare import CompareOptions, CompareSettings, compare
from tt_hydra.report.compare import comparison_table

LOSS = {"_target_": "tt_hydra.loss.infonce.InfoNce", "direction": "query"}


def write_run(folder, figures, *, queries=("a", "b"), answers="same", split="test", config=None, overrides=(), **metrics):
    """A run's folder with recall@10 of each row."""
    folder.mkdir(parents=True)
    told = {} if answers is None else {"answers": ["x"] * len(queries) if answers == "same" else list(answers)}
    rows = pl.DataFrame({"query": list(queries), **told, "model/recall@10": np.array(figures, dtype=np.float32)})
    rows.write_parquet(folder / f"per_query_{split}.parquet")
    (folder / "metrics.json").write_text(json.dumps({f"{split}/model/recall@10": float(np.mean(figures)), **metrics}))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(config if config is not None else {"seed": 1, "loss": LOSS}))
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(list(overrides)))
    return folder


@pytest.fixture
def outputs(tmp_path):
    return tmp_path / "outputs"


def settings(outputs, *runs, **options):
    return CompareSettings(runs=runs, compare=CompareOptions(resamples=2000, **options), outputs=outputs, run_dir=outputs / "compare" / "x")


def printed(comparison):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(comparison_table(comparison))
    return capture.get()


def test_differences_by_hand(outputs):
    """Queries a and b gain .5 and 0; samples of two give the means 0, .25, .25, .5, whose tails are the ends."""
    write_run(outputs / "run" / "one", [0.0, 1.0], **{"search/p99_ms": 0.5})
    write_run(outputs / "run" / "two", [0.5, 1.0], overrides=["loss=bpr"], **{"search/p99_ms": 0.25})
    found = compare(settings(outputs, "one", "two"))
    (row,) = found.quality
    assert (row.key, list(row.values)) == ("test/model/recall@10", [0.5, 0.75])
    assert (row.differences[0].value, row.differences[0].low, row.differences[0].high) == (0.25, 0.0, 0.5)
    assert found.costs == {"search/p99_ms": [0.5, 0.25]}
    assert (found.queries, found.rows, found.split, found.settings) == (2, 2, "test", {})
    written = json.loads((outputs / "compare" / "x" / "compare.json").read_text())
    assert written["quality"][0]["differences"] == [{"value": 0.25, "low": 0.0, "high": 0.5}]
    assert [run["name"] for run in written["runs"]] == ["default settings", "loss=bpr"]
    assert "+0.2500 (+0.0000 to +0.5000)" in printed(found)


def test_trials_of_two_studies_are_told_apart_by_as_much_of_their_paths_as_it_takes(outputs):
    for name, queries in (("d2/0", "ab"), ("f1/0", "abc")):
        write_run(outputs / "sweep" / name, [0.5] * len(queries), queries=queries)
    with pytest.raises(ConfigError, match="differ: 2 in d2/0, 3 in f1/0, 2 the same in all of them"):
        compare(settings(outputs, "d2/0", "f1/0"))
    found = compare(settings(outputs, "d2/0", "f1/0", queries="shared"))
    assert [run.name for run in found.runs] == ["d2/0", "f1/0"]
    write_run(outputs / "sweep" / "d2" / "1", [0.5, 0.5])
    assert [run.name for run in compare(settings(outputs, "d2/0", "d2/1")).runs] == ["0", "1"]


def test_rows_are_paired_by_query_whatever_their_order(outputs):
    write_run(outputs / "run" / "one", [0.1, 0.2, 0.3], queries="abc")
    write_run(outputs / "run" / "two", [0.4, 0.2, 0.3], queries="cab")
    (row,) = compare(settings(outputs, "one", "two")).quality
    # a: .2 - .1, b: .3 - .2, c: .4 - .3, so every sample has the mean .1
    assert (row.differences[0].low, row.differences[0].high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_texts_of_one_query_are_one_cluster(outputs):
    """Query a gains .1 and .3 with its two texts, b 1.0: samples aa, ab, ba, bb have the means .2, 1.4/3, 1.4/3, 1."""
    write_run(outputs / "run" / "one", [0.2, 0.2, 0.0], queries="aab")
    write_run(outputs / "run" / "two", [0.3, 0.5, 1.0], queries="aab")
    found = compare(settings(outputs, "one", "two"))
    (difference,) = found.quality[0].differences
    assert (found.queries, found.rows) == (2, 3)
    assert [difference.value, difference.low, difference.high] == pytest.approx([1.4 / 3, 0.2, 1.0])
    assert "2 queries, 3 rows" in printed(found)


def test_different_queries_are_refused_or_shared(outputs):
    write_run(outputs / "run" / "one", [0.0, 1.0], queries="ab")
    write_run(outputs / "run" / "two", [0.5, 0.5], queries="bc")
    write_run(outputs / "run" / "three", [0.5, 0.5], queries="xy")
    with pytest.raises(ConfigError, match=r"2 in one, 2 in two, 1 the same in all of them. compare.queries=shared"):
        compare(settings(outputs, "one", "two"))
    found = compare(settings(outputs, "one", "two", queries="shared"))
    assert list(found.quality[0].values) == [1.0, 0.5]
    assert "1 that all runs share" in found.notes[0]
    with pytest.raises(ConfigError, match="share no test query"):
        compare(settings(outputs, "one", "three", queries="shared"))


def test_queries_whose_answers_differ_are_other_queries(outputs):
    """As when a table of events has grown between two runs of one configuration."""
    write_run(outputs / "run" / "one", [0.0, 1.0, 0.5], queries="abb", answers="xyz")
    write_run(outputs / "run" / "two", [0.5, 0.5, 0.5], queries="abb", answers="xyw")
    write_run(outputs / "run" / "three", [0.5, 0.5, 0.5], queries="abb", answers="uvw")
    write_run(outputs / "run" / "earlier", [0.5, 0.5, 0.5], queries="abb", answers=None)
    with pytest.raises(ConfigError, match=r"the answers to them differ: 2 in one, 2 in two, 1 the same in all of them"):
        compare(settings(outputs, "one", "two"))
    assert compare(settings(outputs, "one", "two", queries="shared")).rows == 1
    with pytest.raises(ConfigError, match="share no test query with the same answers"):
        compare(settings(outputs, "one", "three"))
    found = compare(settings(outputs, "one", "earlier"))
    assert found.rows == 3
    assert "whether its queries have the same answers as the others' is not known" in found.notes[0]


def test_settings_that_differ(outputs):
    config = {"seed": 1, "loss": LOSS, "train": {"lr": 0.1, "epochs": 3}, "runtime": {"outputs": "x", "threads": None}}
    other = {
        "seed": 1,
        "loss": {"_target_": "tt_hydra.loss.bpr.Bpr", "chunk_size": 8},
        "train": {"lr": 0.2, "epochs": 3},
        "runtime": {"outputs": "y", "threads": 2},
    }
    write_run(outputs / "run" / "one", [0.0, 1.0], config=config)
    write_run(outputs / "run" / "two", [0.0, 1.0], config=other)
    assert compare(settings(outputs, "one", "two")).settings == {
        "loss": ["infonce (direction=query)", "bpr (chunk_size=8)"],
        "train.lr": ["0.1", "0.2"],
        "runtime.threads": ["null", "2"],
    }


def test_other_data_or_another_seed_is_a_note(outputs):
    write_run(outputs / "run" / "one", [0.0, 1.0], config={"seed": 1, "data": {"_target_": "a.b.C", "path": "x"}})
    write_run(outputs / "run" / "two", [0.0, 1.0], config={"seed": 2, "data": {"_target_": "a.b.C", "path": "y"}})
    (note,) = compare(settings(outputs, "one", "two")).notes
    assert note.startswith("seed, data.path differ")


def test_validation_where_a_run_has_no_test_figures(outputs):
    write_run(outputs / "run" / "one", [0.0, 1.0], split="valid")
    shutil.rmtree(write_run(outputs / "sweep" / "today" / "0", [0.0, 1.0], split="valid") / ".hydra")
    found = compare(settings(outputs, "one", "today/0"))
    assert found.split == "valid"
    assert "not every run has figures of test queries" in found.notes[0]
    assert "no configuration was kept in 0" in found.notes[1]
    with pytest.raises(DataError, match=r"per_query_test.parquet is missing"):
        compare(settings(outputs, "one", "today/0", split="test"))


def test_what_a_run_may_be_called(outputs, monkeypatch):
    one, two = (write_run(outputs / "run" / name, [0.0, 1.0]) for name in ("one", "two"))
    (one / "bundle").mkdir()
    (outputs / "run" / "latest").symlink_to("two", target_is_directory=True)
    monkeypatch.chdir(outputs)
    for names in (("one", "two"), ("run/one", "latest"), (str(one), str(two)), (f"{one}/bundle", "two")):
        assert [run.folder.name for run in compare(settings(outputs, *names)).runs] == ["one", "two"]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (("one",), "2 to 26 runs, got 1"),
        (("one", "onee"), r"'onee' is no run; did you mean one\?"),
        (("one", "xyzzy"), r"'xyzzy' is no run. Runs here: "),
        (("one", "latest"), "'one' and 'latest' are the same run"),
        (("one", "grid"), "is the folder of several runs: name them, such as grid/0"),
        (("one", "stopped"), r"did not finish, or is no run: .*stopped holds no metrics.json"),
    ],
)
def test_runs_that_cannot_be_found(outputs, runs, message):
    write_run(outputs / "run" / "one", [0.0, 1.0])
    write_run(outputs / "run" / "two", [0.0, 1.0])
    write_run(outputs / "sweep" / "grid" / "0", [0.0, 1.0])
    (outputs / "run" / "stopped").mkdir()
    (outputs / "run" / "latest").symlink_to("one", target_is_directory=True)
    with pytest.raises(ConfigError, match=message):
        compare(settings(outputs, *runs))


def test_the_newest_runs_are_offered_first(outputs):
    for age, name in enumerate(("b", "z", "a")):
        written = write_run(outputs / "run" / name, [0.0, 1.0]) / "metrics.json"
        os.utime(written, (1_800_000_000 - age, 1_800_000_000 - age))
    with pytest.raises(ConfigError, match="Runs here: b, z, a"):
        compare(settings(outputs, "b", "xyzzy"))


def test_no_run_yet(outputs):
    with pytest.raises(ConfigError, match=r"no finished run under .* yet"):
        compare(settings(outputs, "one", "two"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metrics.json", b"{"),
        ("metrics.json", b'{"a": "b"}'),
        ("per_query_test.parquet", b"PAR1 broken"),
        (".hydra/config.yaml", b"{a: ["),
        (".hydra/overrides.yaml", b"5"),
    ],
)
def test_a_damaged_file_is_named(outputs, file, content):
    write_run(outputs / "run" / "one", [0.0, 1.0])
    (write_run(outputs / "run" / "two", [0.0, 1.0]) / file).write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        compare(settings(outputs, "one", "two"))
    assert not (outputs / "compare").exists()


def test_figures_that_are_not_finite_and_tables_of_other_columns(outputs):
    write_run(outputs / "run" / "one", [0.0, 1.0])
    write_run(outputs / "run" / "two", [0.0, float("nan")])
    with pytest.raises(DataError, match="not finite"):
        compare(settings(outputs, "one", "two"))
    pl.DataFrame({"query": ["a"], "other": ["text"]}).write_parquet(outputs / "run" / "two" / "per_query_test.parquet")
    with pytest.raises(DataError, match="needs a column 'query'"):
        compare(settings(outputs, "one", "two"))


def test_resamples(outputs):
    with pytest.raises(ConfigError, match=r"compare.resamples=0"):
        CompareOptions(resamples=0)


def test_real_runs_in_a_real_process(command, undisturbed, in_process):
    """The means agree with metrics.json, and a change of the index alone changes no figure of the model."""
    line = command("index=flat", folder=undisturbed.line.folder)
    in_process(line)
    first, second = sorted(path.name for path in (line.outputs / "run").iterdir() if not path.is_symlink())[:2]
    words = ["python", "-m", "tt_hydra", "compare", f"runs=[{first},{second}]", "compare.resamples=200"]
    line = type(line)(line.folder, words[3:])
    done = line.run()
    assert done.status == 0, done.err
    (folder,) = (line.outputs / "compare").iterdir()
    found = json.loads((folder / "compare.json").read_text())
    metrics = [json.loads((line.outputs / "run" / name / "metrics.json").read_text()) for name in (first, second)]
    assert "test/ann/recall@10" in [row["key"] for row in found["quality"]]
    assert not any(key.startswith("test/ann/recall@10") for key in found["costs"])
    for row in found["quality"]:
        assert row["values"] == pytest.approx([each[row["key"]] for each in metrics], abs=1e-6)
        if "/model/" in row["key"]:
            assert row["differences"] == [{"value": 0.0, "low": 0.0, "high": 0.0}]
    assert any(key == "index" for key in found["settings"])
    assert re.search(r"test/model/recall@10 .*\+0\.0000", done.out)
    assert done.out.strip().endswith("compare.html")
    assert (folder / "compare.html").stat().st_size > 100_000
    refused = type(line)(line.folder, ["compare", f"runs=[{first},nothing]"]).run()
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "'nothing' is no run" in refused.err


def test_runs_of_ready_made_vectors_are_compared_by_what_their_indexes_find(command, in_process, tmp_path):
    folder = tmp_path / "vectors"
    folder.mkdir()
    random = np.random.default_rng(0)
    np.save(folder / "items.npy", random.normal(size=(300, 16)).astype(np.float32))
    np.save(folder / "queries.npy", random.normal(size=(40, 16)).astype(np.float32))
    (folder / "query_ids.txt").write_text("".join(f"q{number}\n" for number in range(40)))
    given = ["data=vectors", f"data.path={folder}"]
    line = command("index=flat", data=given, folder=tmp_path)
    exact = in_process(line)["test/ann/recall@10"]
    coarse = in_process(line, "quantization=binary", "quantization.refine=0")["test/ann/recall@10"]
    runs = sorted(path for path in (line.outputs / "run").iterdir() if not path.is_symlink())
    found = compare(CompareSettings(runs=tuple(map(str, runs)), outputs=line.outputs, run_dir=tmp_path / "compared"))
    (row,) = found.quality
    assert (row.key, found.queries) == ("test/ann/recall@10", 20)
    assert row.values == pytest.approx([exact, coarse])
    assert row.differences[0].high < 0
    assert set(pl.read_parquet(runs[0] / "per_query_test.parquet")["query"]) < {f"q{number}" for number in range(40)}
