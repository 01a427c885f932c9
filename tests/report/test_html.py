from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from tt_hydra.contracts import Estimate, OperatingPoint
from tt_hydra.report.data import Example, ReportData, Result, Setting
from tt_hydra.report.html import render, write_report

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;</title></style>"

METRICS = {
    "test/model/recall@10": 0.15,
    "test/model/recall@10/ci_low": 0.13,
    "test/model/recall@10/ci_high": 0.17,
    "test/index/recall@10": 0.147,
    "test/ann/recall@10": 0.98,
    "valid/model/recall@10": 0.16,
    "search/p50_ms": 0.1,
    "search/p95_ms": 0.2,
    "search/p99_ms": 0.3,
    "index/bytes_per_item": 256.0,
    "budget/met": 0.0,
    "test/lost/model": 0.85,
    "test/lost/dim": 0.0,
    "test/lost/quantizer": 0.002,
    "test/lost/search": 0.001,
    "test/prefix/16/recall@10": 0.12,
    "stage/prepare/seconds": 1.5,
    "stage/prepare/reused": 0.0,
    "stage/train/seconds": 0.0,
    "stage/train/reused": 1.0,
}

POINTS = (
    OperatingPoint(
        name="ivf int8",
        overrides="index=ivf quantization=int8",
        family="ivf",
        quantization="int8",
        dim=64,
        recall=Estimate(value=0.95, low=0.94, high=0.96),
        quality=0.147,
        p50_ms=0.1,
        p95_ms=0.2,
        p99_ms=0.2,
        bytes_per_item=72.0,
        build_s=1.2,
        on_front=True,
        chosen=True,
        reason="the fewest bytes",
    ),
    OperatingPoint(
        name="flat",
        overrides="index=flat",
        family="flat",
        quantization="none",
        dim=64,
        recall=Estimate(value=1.0, low=1.0, high=1.0),
        quality=0.15,
        p50_ms=0.9,
        p95_ms=1.0,
        p99_ms=1.2,
        bytes_per_item=256.0,
        build_s=0.1,
        meets=False,
        on_front=True,
        reason="too slow",
    ),
)
FULL = ReportData(
    title="MovieLens, mlp",
    command="python -m tt_hydra tower=mlp",
    when=datetime(2025, 1, 2, 3, 4, tzinfo=UTC),
    metrics=METRICS,
    description="ratings",
    sizes={"queries": 943},
    counts={"unknown_items": 3},
    curves=(
        {"epoch": 1, "loss": 5.0, "positive_similarity": 0.2, "hardest_negative_similarity": 0.3, "valid_recall@10": 0.1},
        {"epoch": 2, "loss": float("nan"), "positive_similarity": 0.4, "hardest_negative_similarity": 0.3, "valid_recall@10": 0.12},
    ),
    settings=(Setting(key="index", default="flat", value="hnsw"), Setting(key="embedding_dim", default=64, value=None)),
    examples=(
        Example(
            query="42",
            text="a question",
            history=("Fargo",),
            expected=("Contact",),
            results=(
                Result(rank=1, id="7", title="Scream", score=0.9, relevant=False),
                Result(rank=2, id="8", title="Contact", score=0.8, relevant=True),
            ),
        ),
    ),
    points=POINTS,
    budget={"latency_p99_ms": 0.25, "recall_vs_exact": 0.9},
    warnings=("few negatives",),
    versions={"torch": "2"},
    machine={"threads": "1"},
)
BARE = replace(FULL, curves=(), points=(), metrics={"search/p50_ms": 0.1})
SECTIONS = [
    *("headline", "quality", "losses", "frontier", "cost", "curves"),
    *("examples", "settings", "stages", "data", "figures", "conditions"),
]


class Page(HTMLParser):
    """The page's sections, elements, and the text of everything but scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link"}:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, "elements must be closed in the order in which they were opened"

    def handle_data(self, data):
        if self._open and self._open[-1] not in {"script", "style"}:
            self.text += f"{data}\n"

    def sections(self):
        return [attributes["id"] for tag, attributes in self.tags if tag == "section"]


def page(data: ReportData) -> Page:
    return Page(render(data))


def test_every_section_in_order():
    assert page(FULL).sections() == SECTIONS


def test_figures_and_words():
    text = page(FULL).text
    for expected in [
        "MovieLens, mlp",
        "python -m tt_hydra tower=mlp",
        "02 January 2025, 03:04 UTC",
        "few negatives",
        "0.1500",
        "0.1300 – 0.1700",
        "98.0%",
        "0.200 ms",
        "256 B",
        "budget exceeded",
        "reused",
        "hnsw",
        "null",
        "a question",
        "relevant at rank 2",
        "test/model/recall@10",
        "unknown items",
    ]:
        assert expected in text, expected


def test_the_interval_keys_stand_beside_their_figure_only():
    assert "ci_low" not in page(FULL).text


def test_a_run_without_training_has_no_plots_and_no_plotly():
    text = render(replace(FULL, curves=(), points=(), metrics={"test/ann/recall@10": 0.98}))
    assert not {"curves", "losses", "frontier"} & set(Page(text).sections())
    assert len(text) < 100_000


def test_without_a_test_split_validation_is_the_headline():
    metrics = {key: value for key, value in METRICS.items() if not key.startswith("test/")}
    text = page(replace(FULL, metrics=metrics)).text
    assert "Recall@10, validation" in text
    assert "Recall@10, test" not in text


def test_with_the_index_alone():
    """A run over ready-made vectors without labels measures the index against exact search."""
    text = page(replace(FULL, metrics={"test/ann/recall@10": 0.98}, curves=())).text
    assert "the index finds" in text
    assert "0.9800" in text


def test_figures_without_intervals_have_no_strips():
    strips = [attributes for _, attributes in page(FULL).tags if "strip" in (attributes.get("class") or "").split()]
    without = page(replace(FULL, metrics={key: value for key, value in METRICS.items() if "/ci_" not in key}))
    assert len(strips) == 1
    assert "Model above, index below" not in without.text


def test_nothing_measured():
    bare = ReportData(title="t", command="c", when=datetime(2025, 1, 1, tzinfo=UTC), metrics={})
    shown = page(bare)
    assert shown.sections() == ["headline", "settings"]
    assert "measured nothing" in shown.text


def test_figures_that_are_not_numbers():
    text = page(replace(FULL, metrics={"test/model/recall@10": float("nan"), "train/examples_per_s": float("inf")})).text
    assert "nan" not in text
    assert "inf" not in text.replace("information", "")


def test_hostile_texts_stay_texts():
    hostile = ReportData(
        title=HOSTILE,
        command=HOSTILE,
        when=datetime(2025, 1, 1, tzinfo=UTC),
        metrics={HOSTILE: 1.0, f"test/model/{HOSTILE}".replace("/script", "script"): 0.5, "test/model/recall@10": 0.5},
        description=HOSTILE,
        sizes={HOSTILE: 1},
        counts={HOSTILE: 1},
        curves=({"epoch": 1, "loss": 1.0},),
        settings=(Setting(key=HOSTILE, default=HOSTILE, value=HOSTILE),),
        examples=(
            Example(
                query=HOSTILE,
                text=HOSTILE,
                history=(HOSTILE,),
                expected=(HOSTILE,),
                results=(Result(rank=1, id=HOSTILE + "id", title=HOSTILE, score=0.5),),
            ),
        ),
        points=(replace(POINTS[0], name=HOSTILE, overrides=HOSTILE, family=HOSTILE, reason=HOSTILE),),
        warnings=(HOSTILE,),
        versions={HOSTILE: HOSTILE},
        machine={HOSTILE: HOSTILE},
    )
    plain, parsed = page(FULL), page(hostile)
    allowed = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in parsed.tags} <= allowed
    assert "img" not in allowed
    assert all(not name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert parsed.text.count(HOSTILE) >= 15
    scripts = [attributes for tag, attributes in parsed.tags if tag == "script"]
    assert len(scripts) == len([attributes for attributes in scripts if "data-plot" in attributes]) + 2


def test_long_texts_are_cut():
    long, whole = "word " * 100_000, "x" * 300
    shown = Example(query="1", text=long, history=(long, whole), expected=(long,), results=(Result(rank=1, id="7", title=long, score=0.5),))
    parsed = page(replace(BARE, examples=(shown,)))
    assert parsed.text.count("word word") == 4 * 30  # 299 characters are 59 words and their blanks, a "word" and the mark
    assert parsed.text.count("word…") == 4
    assert whole in parsed.text


def test_nothing_is_loaded_from_elsewhere():
    text = render(BARE)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", text)
    policy = next(attributes["content"] for _, attributes in Page(text).tags if "http-equiv" in attributes)
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'" in policy


def test_every_table_and_plot_has_a_name():
    for tag, attributes in page(FULL).tags:
        if attributes.get("class") in {"scroll", "plot"}:
            assert attributes.get("aria-label"), tag


def test_written_at_once(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    write_report(BARE, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_failure_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("earlier")

    def fail(_descriptor):
        raise OSError("disk full")

    monkeypatch.setattr("tt_hydra.report.page.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(BARE, path)
    assert path.read_text() == "earlier"
    assert os.listdir(tmp_path) == ["report.html"]


CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_it_without_an_error(tmp_path):
    """The content security policy is in force: a script whose hash is wrong, or a request, would be an error on the console."""
    write_report(FULL, tmp_path / "report.html")
    quiet = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [
        CHROMIUM,
        *quiet.split(),
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=5000",
        "--dump-dom",
        (tmp_path / "report.html").as_uri(),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in finished.stderr
    page = Page(re.sub(r"<script>.*?</script>", "", finished.stdout, flags=re.DOTALL)[len("<!doctype html>") :])
    assert page.sections() == SECTIONS
    assert "data-ready" in dict(page.tags[0][1])
    drawn = [attributes for _, attributes in page.tags if "js-plotly-plot" in (attributes.get("class") or "")]
    assert [plot["id"] for plot in drawn] == ["plot-losses", "plot-frontier", "plot-loss", "plot-recall", "plot-similarity"]
