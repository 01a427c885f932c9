from __future__ import annotations

import json
import re

import plotly.graph_objects
import pytest

from tt_hydra.report.plots import PLOTS, curves, specification

RECORDS = [
    {
        "epoch": epoch,
        "step": 10 * epoch,
        "loss": 1 / epoch,
        "temperature": 0.1,
        "positive_similarity": 0.5,
        "hardest_negative_similarity": 0.4,
        "effective_negatives": 12.5,
        "effective_negatives_declared": 16.0,
        "negatives_share": 0.5,
        "negatives_window_first": 10,
        "negatives_window_last": 60.5,
        "negatives_margin": 0.9,
        "valid_recall@10": [0.1, 0.3, 0.3, 0.2][epoch - 1],
    }
    for epoch in range(1, 5)
]
BY_NAME = {plot.name: plot for plot in PLOTS}


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_plotly_accepts_every_specification(plot):
    given = specification(plot, RECORDS)
    figure = plotly.graph_objects.Figure(data=given["data"], layout=given["layout"])
    assert [trace.name for trace in figure.data] == list(plot.series.values())


def test_the_best_epoch_is_the_first_of_the_highest():
    note = specification(BY_NAME["recall"], RECORDS)["layout"]["annotations"][0]
    assert (note["x"], note["y"], note["text"]) == (2, 0.3, "best 0.3000")


@pytest.mark.parametrize(("epochs", "axis"), [(4, {"dtick": 1}), (40, {"nticks": 8})])
def test_epochs_are_named_by_whole_numbers(epochs, axis):
    records = [{"epoch": epoch, "loss": 1.0} for epoch in range(epochs)]
    assert specification(BY_NAME["loss"], records)["layout"]["xaxis"].items() >= axis.items()


def test_missing_and_infinite_values_are_gaps():
    records = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": float("inf")}, {"epoch": 3}, {"epoch": 4, "loss": None}]
    assert specification(BY_NAME["loss"], records)["data"][0]["y"] == [2.0, None, None, None]


def test_only_what_was_recorded_is_drawn():
    written = curves([{"epoch": 1, "loss": 1.0, "hardest_negative_similarity": 0.2}])
    specifications = [json.loads(text) for text in re.findall(r"<script[^>]*>(.*?)</script>", written)]
    assert [[trace["name"] for trace in each["data"]] for each in specifications] == [["loss"], ["hardest negative"]]
