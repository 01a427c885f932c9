"""Training curves as plotly specifications without colours: ``report.js`` draws them in the colours of the reader's theme."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tt_hydra.report.markup import Html, element

Records = Sequence[Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot over the epochs.

    Attributes:
        series: record key -> what the line is called.
        best: whether the highest point is what was kept, and is marked.
    """

    name: str
    title: str
    note: str
    series: Mapping[str, str]
    best: bool = False


MOST_TICKS = 8
"""Epochs that are all named on an axis: between fewer, plotly would name halves."""
PLOTS = (
    Plot("loss", "Training loss", "Mean over the epoch's steps.", {"loss": "loss"}),
    Plot(
        "recall",
        "Validation recall@10",
        "Exact search over the whole catalogue; the best epoch's weights are kept.",
        {"valid_recall@10": "recall@10"},
        best=True,
    ),
    Plot(
        "similarity",
        "Similarity of query and item",
        "Before the temperature. Training pulls the two lines apart.",
        {"positive_similarity": "positive", "hardest_negative_similarity": "hardest negative"},
    ),
    Plot("temperature", "Temperature", "Mean over the epoch's steps.", {"temperature": "temperature"}),
    Plot(
        "effective",
        "Effective negatives",
        "How many negatives push at once: exp of the entropy of the softmax over a query's negatives.",
        {"effective_negatives": "observed", "effective_negatives_declared": "declared by the curriculum"},
    ),
    Plot("share", "Share of the hard negatives", "As the curriculum asks for.", {"negatives_share": "share"}),
    Plot(
        "ranks",
        "Ranks of the hard negatives",
        "Between which the curriculum lets them be drawn; lower is harder.",
        {"negatives_window_first": "best", "negatives_window_last": "worst"},
    ),
    Plot("margin", "Margin of the hard negatives", "Largest ratio of their similarity to the positive's.", {"negatives_margin": "ratio"}),
)


def curves(records: Records) -> Html:
    """The plots that have something to show, each with its specification beside it."""
    shown = [plot for plot in PLOTS if any(_values(records, key) for key in plot.series)]
    return element("div", *(_figure(plot, records) for plot in shown), class_="plots")


def specification(plot: Plot, records: Records) -> dict[str, Any]:
    """Plotly's data and layout of one plot; a value that is missing or not finite is a gap."""
    epochs = [record["epoch"] for record in records]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": label,
            "x": epochs,
            "y": [_finite(record.get(key)) for record in records],
            "meta": {"colour": place, "dash": ["solid", "dot"][place]},
            "hovertemplate": "%{y:.5g}",
        }
        for place, (key, label) in enumerate(plot.series.items())
        if _values(records, key)
    ]
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "epoch"}, "tickformat": "d", **({"dtick": 1} if len(epochs) <= MOST_TICKS else {"nticks": MOST_TICKS})},
        "yaxis": {"tickformat": "~g", "nticks": 6},
        "showlegend": len(traces) > 1,
    }
    if plot.best:
        layout["annotations"] = [_best(epochs, traces[0]["y"])]
    return {"data": traces, "layout": layout}


def _best(epochs: Sequence[float | None], values: Sequence[float | None]) -> dict[str, Any]:
    """A note at the highest point, the first of equals."""
    value, place = max((value, -place) for place, value in enumerate(values) if value is not None)
    return {"x": epochs[-place], "y": value, "text": f"best {value:.4f}", "showarrow": True, "arrowhead": 0, "ax": 0, "ay": -24}


def _values(records: Records, key: str) -> list[float]:
    return [value for record in records if (value := _finite(record.get(key))) is not None]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _figure(plot: Plot, records: Records) -> Html:
    parts = []
    for key, label in plot.series.items():
        values = _values(records, key)
        if values:
            parts.append(f"{label} from {values[0]:.4g} to {values[-1]:.4g}")
    return drawn(plot.name, plot.title, plot.note, f"{plot.title}: {', '.join(parts)}", specification(plot, records))


def drawn(name: str, title: str, note: str, label: str, spec: Mapping[str, Any]) -> Html:
    """A figure with its specification beside it, which ``report.js`` draws.

    Args:
        name: unique on the page.
        title: its heading.
        note: how to read it.
        label: what it shows, for those who do not see it.
        spec: plotly's ``data`` and ``layout``; ``meta.colour`` of a trace is the number of its colour.
    """
    # "<" inside JSON would let a text close the script element
    written = Html(json.dumps(spec, allow_nan=False).replace("<", "\\u003c"))
    return element(
        "figure",
        element("figcaption", element("h3", title), element("p", note)),
        element("div", class_="plot", id=f"plot-{name}", role="img", aria_label=label),
        element("script", written, type="application/json", data_plot=f"plot-{name}"),
    )
