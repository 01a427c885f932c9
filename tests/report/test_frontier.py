from __future__ import annotations

import json
import re
from dataclasses import fields, replace

import plotly.graph_objects
import pytest

from tt_hydra.contracts import Estimate, Measurement, OperatingPoint
from tt_hydra.index.budget import Budget
from tt_hydra.report.frontier import LARGEST, SMALLEST, frontier, specification


def point(name: str, quality: float | None, p99_ms: float, size: float, **more: object) -> OperatingPoint:
    return OperatingPoint(
        name=name,
        overrides=f"index={name}",
        family=name.partition(" ")[0],
        quantization="none",
        dim=64,
        recall=Estimate(value=0.9 if quality is None else quality * 6, low=0.1, high=1.0),
        quality=quality,
        p50_ms=p99_ms / 2,
        p95_ms=p99_ms,
        p99_ms=p99_ms,
        bytes_per_item=size,
        build_s=1.0,
        **more,
    )


POINTS = (
    point("flat", 0.15, 1.0, 256, on_front=True, meets=False, reason="too slow"),
    point("ivf 8", 0.14, 0.05, 264, on_front=True, chosen=True, reason="the highest recall within the budget"),
    point("ivf 4", 0.12, 0.02, 264, on_front=True),
    point("hnsw", 0.13, 0.1, 400, resident_bytes_per_item=512.0),
)
BUDGET = {"latency_p99_ms": 0.2, "bytes_per_item": 300.0, "recall_vs_exact": 0.8}


def test_plotly_accepts_the_specification_and_draws_a_trace_for_each_family():
    given = specification(POINTS, BUDGET)
    line, *families = plotly.graph_objects.Figure(data=given["data"], layout=given["layout"]).data
    assert [trace.name for trace in families] == ["flat", "ivf", "hnsw"]
    assert [len(set(trace.marker.symbol)) for trace in families] == [1, 1, 1]
    assert families[2].marker.symbol[0].endswith("-open")
    assert list(families[1].marker.symbol) == ["diamond", "diamond"]
    assert (families[0].marker.opacity[0], families[1].marker.opacity[0]) == (0.3, 0.9)
    assert (list(line.x), list(line.y)) == ([0.02, 0.05, 1.0], [0.12, 0.14, 0.15])
    assert (families[0].marker.size[0], families[2].marker.size[0]) == (SMALLEST, LARGEST)


def test_the_choice_is_marked_where_it_lies():
    note = specification(POINTS, BUDGET)["layout"]["annotations"][0]
    assert (10 ** note["x"], note["y"], note["text"]) == (pytest.approx(0.05), 0.14, "chosen")
    assert "annotations" not in specification(POINTS[2:], {})["layout"]


def test_limits_are_lines_where_they_are_places_on_an_axis():
    shapes = specification(POINTS, BUDGET)["layout"]["shapes"]
    assert [(shape["x0"], shape["x1"]) for shape in shapes] == [(0.2, 0.2)]
    assert specification(POINTS, {"bytes_per_item": 3.0})["layout"]["shapes"] == []
    unlabelled = [replace(each, quality=None) for each in POINTS]
    assert [shape.get("y0") for shape in specification(unlabelled, BUDGET)["layout"]["shapes"]] == [0, 0.8]


def test_without_labels_recall_against_exact_search_is_drawn():
    shown = frontier([point("flat", None, 1.0, 256), point("ivf", 0.1, 0.5, 200)], {})
    given = json.loads(re.findall(r"<script[^>]*>(.*?)</script>", shown)[0])
    assert given["layout"]["yaxis"]["title"]["text"] == "recall@10 against exact search"
    assert [trace["y"] for trace in given["data"][1:]] == [[0.9], [pytest.approx(0.6)]], "one figure for all, not labels for some"


def test_every_limit_and_point_is_in_view():
    layout = specification(POINTS, {"latency_p99_ms": 30.0})["layout"]
    low, high = (10**end for end in layout["xaxis"]["range"])
    assert low < 0.02
    assert high > 30.0
    assert layout["xaxis"]["tickvals"] == [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20]


def test_the_reason_the_budget_and_all_points_are_told():
    shown = frontier(POINTS, BUDGET)
    for text in (
        "the highest recall within the budget.",
        "p99 at most 0.2 ms; at most 300 bytes an item; recall@10 against exact search at least 0.8",
        "3 of 4 points keep it",
        "too slow",
        "over budget",
        "512 B resident",
        "1 point that another one beats",
        "index=hnsw",
    ):
        assert text in shown, text
    assert shown.index("index=ivf 8") < shown.index("index=ivf 4") < shown.index("index=flat") < shown.index("index=hnsw")
    assert frontier((), BUDGET) == ""


def test_a_choice_on_fresh_queries_is_told_by_both_measurements() -> None:
    fresh = Measurement(recall=Estimate(value=0.81, low=0.8, high=0.82), p50_ms=0.03, p95_ms=0.05, p99_ms=0.06)
    first, chosen, *others = (replace(each, fresh=fresh if each.chosen else None) for each in POINTS)
    shown = frontier([first, chosen, *others], BUDGET)
    assert "chosen after it was measured again, on fresh queries: recall 0.8100 (0.8000 – 0.8200) against exact, p99 0.0600 ms." in shown
    assert "this one with recall 0.8400 (0.1000 – 1.0000) against exact, p99 0.0500 ms." in shown
    assert "recall there less recall on fresh queries: 0.0300." in shown
    assert "fresh 0.8100" in shown
    assert "off the front" not in shown
    beaten = [first, replace(chosen, on_front=False), replace(others[0], fresh=fresh), *others[1:]]
    shown = frontier(beaten, BUDGET)
    assert "among 2 points that were measured again" in shown
    assert "It is off the front, which is of recall@10 through the index" in shown
    assert "The choice and the operating points on the front" in shown
    assert specification(beaten, BUDGET)["data"][2]["marker"]["symbol"] == ["diamond-open", "diamond"]


def test_every_limit_of_a_budget_has_words():
    names = [field.name for field in fields(Budget)]
    told = {frontier(POINTS, {name: 2000.0}).partition("Budget: ")[2].partition(". ")[0] for name in names}
    assert len(told) == len(names)
    assert "at most 2,000 bytes in all" in told


def test_points_of_one_size_and_no_choice():
    same = [replace(each, bytes_per_item=64.0, chosen=False, on_front=False) for each in POINTS]
    sizes = {size for trace in specification(same, {})["data"][1:] for size in trace["marker"]["size"]}
    assert sizes == {SMALLEST}
    assert "Chosen" not in frontier(same, {})
