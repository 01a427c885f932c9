from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pages import CHROMIUM, HOSTILE, Page, in_browser

from tt_hydra.contracts import Estimate
from tt_hydra.report.compare import render, specification, write_comparison
from tt_hydra.report.comparison import ComparedRun, Comparison, QualityRow, verdict

BETTER, WORSE, EVEN = (Estimate(value=mid, low=mid - 0.1, high=mid + 0.1) for mid in (0.2, -0.2, 0.05))
RUNS = [ComparedRun(letter=letter, name=f"loss={letter}", folder=Path(letter)) for letter in "ABCD"]
COMPARISON = Comparison(
    command="python -m tt_hydra compare",
    runs=RUNS,
    split="test",
    queries=10,
    rows=12,
    settings={"loss": ["infonce", "bpr", "sigmoid", "triplet"]},
    quality=[
        QualityRow(key="test/model/recall@10", values=[0.4, 0.6, 0.2, 0.45], differences=[BETTER, WORSE, EVEN]),
        QualityRow(key="test/index/recall@10", values=[0.4, 0.6, 0.2, 0.45], differences=[BETTER, WORSE, EVEN]),
    ],
    costs={"search/p99_ms": [0.5, None, 0.25, 1.0]},
    notes=["seed differ"],
)


def test_verdicts():
    assert [verdict(each) for each in (BETTER, WORSE, EVEN)] == ["better", "worse", ""]


def test_the_page_says_all_of_it():
    found = Page(render(COMPARISON))
    assert found.sections() == ["headline", "differences", "quality", "settings", "costs", "runs"]
    assert found.plots() == ["plot-forest-0", "plot-forest-1"]
    for expected in [
        "Test, 10 queries, 12 rows",
        "+0.2000",
        "+0.1000 to +0.3000",
        "better",
        "worse",
        "not told apart",
        "seed differ",
        "bpr",
    ]:
        assert expected in found.text, expected


def test_a_forest_plot():
    spec = specification(COMPARISON, COMPARISON.quality[:1])
    assert [trace["x"] for trace in spec["data"]] == [[0.2], [-0.2], [0.05]]
    assert spec["data"][0]["error_x"]["array"] == pytest.approx([0.1])
    heights = [trace["y"][0] for trace in spec["data"]]
    assert heights == sorted(heights, reverse=True)
    assert sum(heights) == pytest.approx(0)


def test_hostile_texts_stay_texts():
    runs = [replace(run, name=HOSTILE, folder=Path(HOSTILE), overrides=[HOSTILE]) for run in RUNS]
    rows = [replace(COMPARISON.quality[0], key=HOSTILE)]
    hostile = replace(
        COMPARISON, command=HOSTILE, runs=runs, settings={HOSTILE: [HOSTILE] * 4}, quality=rows, costs={HOSTILE: [1.0] * 4}, notes=[HOSTILE]
    )
    found = Page(render(hostile))
    assert "img" not in {tag for tag, _ in found.tags}
    assert all(not name.startswith("on") for _, attributes in found.tags for name in attributes)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_draws_it(tmp_path):
    write_comparison(COMPARISON, tmp_path / "compare.html")
    found = in_browser(tmp_path / "compare.html", tmp_path / "profile")
    assert found.drawn() == ["plot-forest-0", "plot-forest-1"]
