"""The command line as real processes, from a directory that has nothing to do with the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from toy_table import write_table

from tt_hydra.config.paths import PACKAGE

HEAVY = ("torch", "pytorch_lightning", "transformers", "sentence_transformers", "faiss", "polars")


@pytest.fixture
def start(tmp_path):
    """Starts a command line in an empty directory and waits for it."""

    def start(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "TT_HYDRA_OUTPUTS": str(tmp_path / "outputs"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *python, "-m", "tt_hydra", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)

    return start


def test_a_misspelt_key_is_refused_before_anything_heavy_is_imported(start, tmp_path):
    done = start("tower=bert", "temprature.start=1", python=("-X", "importtime"))
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert told == ["error: temprature.start: is no key; did you mean 'temperature.start'?"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "hydra" in imported
    assert not imported & set(HEAVY)
    assert list(tmp_path.iterdir()) == []


def test_from_a_table_to_results(start, tmp_path):
    data = write_table(tmp_path / "my data (1)")
    small = ["train.max_epochs=2", "train.batch_size=64", "tower.feature_dim=8", "embedding_dim=8", "evaluate.resamples=20"]
    ran = start(*data, *small, "logger=none", "runtime.progress_bar=false")
    assert ran.returncode == 0, ran.stderr
    latest = tmp_path / "outputs" / "run" / "latest"
    assert "test/index/recall@10" in json.loads((latest / "metrics.json").read_text())
    assert {"bundle", "report.html", "metrics.json", ".hydra", "run.log"} <= {path.name for path in latest.iterdir()}

    found = start("search", "query_id=u3", "k=3", "exclude_seen=false")
    assert found.returncode == 0, found.stderr
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    assert all(line[1].startswith("i") and line[3].startswith("film ") for line in lines)
    assert float(lines[0][2]) >= float(lines[1][2]) >= float(lines[2][2])

    (tmp_path / "queries.jsonl").write_text('{"id": "u3"}\n{"id": "new", "history": ["i1", "i5"]}\n')
    filed = start("search", "search.input=queries.jsonl", "search.output=a run, (first).trec", "k=2", "bundle=outputs/run/latest")
    assert filed.returncode == 0, filed.stderr
    rows = [line.split() for line in (tmp_path / "a run, (first).trec").read_text().splitlines()]
    assert [(row[0], row[1], row[3]) for row in rows] == [("u3", "Q0", "1"), ("u3", "Q0", "2"), ("new", "Q0", "1"), ("new", "Q0", "2")]

    again = start("evaluate", *data, "evaluate.resamples=20")
    assert again.returncode == 0, again.stderr
    figures = json.loads((latest / "metrics.json").read_text())
    measured = json.loads(next((tmp_path / "outputs" / "evaluate").glob("*/metrics.json")).read_text())
    same = [key for key in measured if "/model/" in key or "/index/" in key or "/ann/" in key]
    assert len(same) > 20
    assert {key: measured[key] for key in same} == pytest.approx({key: figures[key] for key in same}, abs=1e-6)
    other = start("evaluate", *data, "data.statistics=[count]")
    assert other.returncode == 2
    assert "was not made from this data" in other.stderr.splitlines()[-1]
