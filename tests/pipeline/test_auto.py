"""index=auto through the command line: what a run leaves, what it reuses, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from commands import CommandLine, Done

from tt_hydra.index.storage import load_index
from tt_hydra.index.tune.frontier import read_frontier

SHORT = ("index=auto", "quantization=none", "train.max_epochs=1")


@pytest.fixture(scope="module")
def line(command: Callable[..., CommandLine]) -> CommandLine:
    return command(*SHORT, "budget.bytes_per_item=60")


@pytest.fixture(scope="module")
def first(line: CommandLine, in_process: Callable[..., dict[str, float]]) -> dict[str, float]:
    return in_process(line)


def test_a_run_serves_the_chosen_index_and_keeps_every_point(line: CommandLine, first: dict[str, float]) -> None:
    run = line.outputs / "run" / "latest"
    points = read_frontier(run)
    (chosen,) = [point for point in points if point.chosen]
    assert len(points) == first["index/auto/points"]
    assert first["index/auto/candidates"] >= 2
    assert first["index/auto/seconds"] > 0
    assert "index/auto/winners_curse" in first
    assert first["index/auto/sampled"] == 0
    assert chosen.meets
    # The saved header spells the tuned search parameters, the measured one those of the build: some bytes over 80 items.
    assert chosen.bytes_per_item == pytest.approx(first["index/bytes_per_item"], abs=0.2)
    assert first["index/bytes_per_item"] <= 60
    assert first["budget/met"] == 1
    assert chosen.quality == pytest.approx(first["valid/index/recall@10"], abs=1e-6)
    assert chosen.resident_bytes_per_item is not None
    header = json.loads((run / "bundle" / "index" / "index.json").read_text())
    assert header["index"]["_target_"] == f"tt_hydra.index.{chosen.family}.{chosen.family.capitalize()}"
    vectors = np.load(run / "bundle" / "item_vectors.npy")
    assert load_index(run / "bundle" / "index", vectors).search_params == header["search_params"]
    assert pl.read_parquet(run / "frontier.parquet")["chosen"].sum() == 1


def test_a_second_run_finds_it_in_the_store_and_another_budget_does_not(line: CommandLine, first: dict[str, float], in_process) -> None:
    again = in_process(line)
    assert again["stage/index/reused"] == 1
    assert again["index/auto/points"] == first["index/auto/points"]
    assert read_frontier(line.outputs / "run" / "latest")
    other = in_process(line, "budget.bytes_per_item=61")
    assert (other["stage/embed/reused"], other["stage/index/reused"]) == (1, 0)


def test_a_fixed_index_leaves_no_frontier(line: CommandLine, first: dict[str, float], in_process) -> None:
    in_process(line, "index=flat")
    assert not (line.outputs / "run" / "latest" / "frontier.parquet").exists()


def test_an_impossible_budget_is_refused_before_the_evaluation(
    line: CommandLine, first: dict[str, float], try_in_process: Callable[..., Done]
) -> None:
    done = try_in_process(line, "budget.bytes_per_item=1")
    assert done.status == 2
    assert "budget.bytes_per_item=1 cannot be met: the smallest index has" in done.err
    assert "raise budget.bytes_per_item to" in done.err
    assert "evaluate ..." not in done.out + done.err
