from __future__ import annotations

import plotly.graph_objects
import pytest

from tt_hydra.report.losses import STEPS, losses, lost, points, sentence, waterfall

STEP_SHARES = {"model": 0.06, "dim": 0.0, "quantizer": 0.018, "search": 0.003}
METRICS = {f"valid/lost/{step}": value for step, value in STEP_SHARES.items()} | {"valid/index/recall@10": 0.919}


def test_the_steps_in_words():
    assert sentence(STEP_SHARES) == "6.0 points to the model, 1.8 to the quantizer, 0.3 to the graph or lists; the dimension costs nothing"
    rescored = {"model": 0.1, "dim": 0.05, "quantizer": -0.048, "search": 0.0001}
    assert sentence(rescored) == (
        "10.0 points to the model, 5.0 to the dimension; the quantizer gives back 4.8; the graph or lists costs nothing"
    )
    assert sentence(dict.fromkeys(STEPS, 0.0)) == (
        "nothing is lost; the model, the dimension, the quantizer and the graph or lists cost nothing"
    )


@pytest.mark.parametrize(("share", "expected"), [(0.06, "6.0"), (0.0183, "1.8"), (-0.0001, "0.0"), (0.0006, "0.1"), (1.0, "100.0")])
def test_points_of_a_hundred(share, expected):
    assert points(share) == expected


def test_without_an_account_nothing_is_shown():
    assert lost({"valid/model/recall@10": 0.1, "test/lost/model": 0.1}, "valid") == {}
    assert losses({"valid/model/recall@10": 0.1}) == ""


def test_bars_go_down_from_a_perfect_answer_to_the_index():
    given = waterfall({"model": 0.5, "dim": 0.2, "quantizer": -0.1, "search": 0.05})
    ends, steps = plotly.graph_objects.Figure(data=given["data"], layout=given["layout"]).data
    assert list(ends.y) == ["a perfect answer", "the index"]
    assert list(ends.x) == pytest.approx([100, 35])
    assert list(steps.y) == list(STEPS.values())
    assert list(steps.base) == pytest.approx([50, 30, 30, 35])
    assert list(steps.x) == pytest.approx([50, 20, 10, 5])
    assert list(steps.text) == ["−50.0", "−20.0", "+10.0", "−5.0"]
    assert given["layout"]["yaxis"]["categoryarray"] == ["the index", *reversed(STEPS.values()), "a perfect answer"]


def test_without_labels_exact_search_is_what_is_lost_from():
    steps = {"valid/ann/lost/dim": 0.0, "valid/ann/lost/quantizer": 0.02, "valid/ann/lost/search": 0.005}
    assert list(lost(steps, "valid")) == ["dim", "quantizer", "search"]
    assert waterfall(lost(steps, "valid"))["data"][0]["y"] == ["exact search", "the index"]
    shown = losses(steps)
    assert "of 100 items that exact search finds, the index reaches <strong>97.5</strong>" in shown
    assert "2.0 points to the quantizer, 0.5 to the graph or lists; the dimension costs nothing" in shown


def test_each_prefix_beside_the_whole():
    prefixes = {
        "valid/prefix/16/recall@10": 0.12,
        "valid/prefix/16/recall@10/ci_low": 0.1,
        "valid/prefix/16/recall@10/ci_high": 0.14,
        "valid/prefix/8/recall@10": 0.06,
        "valid/model/recall@10": 0.15,
    }
    shown = losses(METRICS | prefixes)
    assert shown.index(">8<") < shown.index(">16<") < shown.index(">all<")
    for text in ("91.9", "80.0%", "40.0%", "100.0%", "0.1000 – 0.1400", "6.0 points to the model"):
        assert text in shown
    assert "What a shorter dimension costs" not in losses(METRICS)
