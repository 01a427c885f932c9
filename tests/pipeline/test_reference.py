from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from commands import CommandLine, Undisturbed

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.resolve import resolve_bundle


def test_a_run_keeps_its_validation_queries(undisturbed: Undisturbed) -> None:
    outputs = undisturbed.line.outputs
    bundle = Bundle.load(resolve_bundle("latest", outputs))
    reference, questions = bundle.reference, bundle.questions
    assert reference is not None
    assert questions is not None
    valid, test = (np.load(next(outputs.glob(f"store/embed/*/queries_{part}.npy"))) for part in ("valid", "test"))
    np.testing.assert_array_equal(reference.queries, valid)
    assert not np.allclose(reference.queries, test), "test queries are for nobody"
    found = bundle.load_index().search(valid, 10, bundle.manifest.search_params)
    np.testing.assert_allclose(reference.scores, found.scores, atol=1e-6)
    assert questions.relevant.list.len().to_list() == [1] * len(valid)
    frame = pl.read_csv(Path(outputs).parent.parent / "table" / "events.csv")
    for user, relevant in zip(questions.records["id"].to_list(), questions.relevant.to_list(), strict=True):
        assert relevant == [frame.filter(pl.col("query") == user).sort("time")["item"].to_list()[-2]]


def test_ready_made_vectors_keep_the_ids_of_theirs(tmp_path: Path, in_process: Callable[..., dict[str, float]]) -> None:
    random = np.random.default_rng(0)
    np.save(tmp_path / "items.npy", random.normal(size=(300, 8)).astype(np.float32))
    np.save(tmp_path / "queries.npy", random.normal(size=(40, 8)).astype(np.float32))
    line = CommandLine(tmp_path / "run", ["data=vectors", f"data.path={tmp_path}", "data.valid_share=0.25", "index=flat", "logger=none"])
    in_process(line)
    bundle = Bundle.load(resolve_bundle("latest", line.outputs))
    assert bundle.questions is not None
    assert bundle.reference is not None
    rows = [int(identifier) for identifier in bundle.questions.records["id"].to_list()]
    assert len(rows) == 10
    np.testing.assert_array_equal(bundle.reference.queries, np.load(tmp_path / "queries.npy")[rows])
    assert bundle.questions.relevant.to_list() == [[]] * 10
