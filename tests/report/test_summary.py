from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from tt_hydra.report.summary import summary_table

METRICS = {
    "test/model/recall@10": 0.15,
    "test/model/recall@10/ci_low": 0.13,
    "test/model/recall@10/ci_high": 0.17,
    "test/index/recall@10": 0.147,
    "test/ann/recall@10": 0.98,
    "search/p50_ms": 0.1,
    "search/p95_ms": 0.2,
    "index/bytes_per_item": 256.0,
    "budget/met": 1.0,
    "stage/prepare/seconds": 1.5,
    "stage/prepare/reused": 0.0,
    "stage/train/seconds": 0.0,
    "stage/train/reused": 1.0,
}


def printed(metrics, width=100, title="a run") -> str:
    console = Console(file=StringIO(), width=width)
    console.print(summary_table(metrics, title))
    return console.file.getvalue()


def test_says_what_the_run_measured():
    lines = [" ".join(line.split()) for line in printed(METRICS).splitlines()]
    assert lines == [
        "a run",
        "Test",
        "model index",
        "recall@10 0.1500 (0.1300-0.1700) 0.1470",
        "vs exact recall@10 0.9800",
        "search p50 0.100 ms, p95 0.200 ms",
        "bytes 256 an item",
        "budget met",
        "stages prepare 1.50 s, train reused",
    ]


@pytest.mark.parametrize(("labels", "words"), [("", "model 6.0, dimension 0.0, "), ("ann/", "dimension 0.0, ")])
def test_where_recall_is_lost(labels, words):
    steps = {"model": 0.06, "dim": 0.0, "quantizer": 0.018, "search": 0.003}
    found = {f"test/{labels}lost/{step}": value for step, value in steps.items() if step != "model" or not labels}
    lines = [" ".join(line.split()) for line in printed(METRICS | found).splitlines()]
    assert f"lost {words}quantizer 1.8, graph or lists 0.3 of 100" in lines


@pytest.mark.parametrize("width", [44, 80])
def test_fits_the_terminal_without_cutting_figures(width):
    metrics = METRICS | {f"test/{part}/recall@100{end}": 0.5 for part in ("model", "index") for end in ("", "/ci_low", "/ci_high")}
    text = printed(metrics, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("(0.5000-0.5000)") == 2
    assert "…" not in text


def test_without_an_index_and_without_intervals():
    text = printed({"valid/model/recall@10": 0.1})
    assert "index" not in text
    assert "Validation" in text


def test_nothing_measured():
    assert printed({}, title="").strip() == ""


def test_markup_in_a_title_is_text():
    assert "[bold]x[/bold]" in printed({}, title="[bold]x[/bold]")
