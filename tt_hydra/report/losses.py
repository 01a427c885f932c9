"""The part of the page that tells where recall is lost, and what shorter vectors would cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tt_hydra.report import figures
from tt_hydra.report.figures import MISSING, SPLITS, Figure, Metrics
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.report.plots import drawn

STEPS = {"model": "the model", "dim": "the dimension", "quantizer": "the quantizer", "search": "the graph or lists"}
"""Where points go, in the order in which one stage is swapped after the other."""
NOTHING = 0.0005
"""Shares below it are 0.0 points as they are written."""


def lost(metrics: Metrics, split: str) -> dict[str, float]:
    """What each step loses of a split's recall@10, as a share; empty where it was not accounted for.

    Where there are no labels it is recall against exact search, of which the model loses nothing: it is not among the steps.
    """
    labelled = {step: metrics[key] for step in STEPS if (key := f"{split}/lost/{step}") in metrics}
    return labelled or {step: metrics[key] for step in STEPS if (key := f"{split}/ann/lost/{step}") in metrics}


def points(share: float) -> str:
    """A share in points of a hundred: 6.0; what rounds to nothing has no sign."""
    return f"{100 * share:.1f}" if abs(share) >= NOTHING else "0.0"


def sentence(steps: Mapping[str, float]) -> str:
    """The steps in words: 6.0 points to the model, 1.8 to the quantizer; the dimension and the graph or lists cost nothing."""
    costs = [(STEPS[step], value) for step, value in steps.items() if value >= NOTHING]
    gains = [f"{STEPS[step]} gives back {points(-value)}" for step, value in steps.items() if value <= -NOTHING]
    free = [STEPS[step] for step, value in steps.items() if abs(value) < NOTHING]
    words = [f"{points(value)} {'points ' if place == 0 else ''}to {name}" for place, (name, value) in enumerate(costs)]
    rest = [*gains, *([f"{_listed(free)} {'costs' if len(free) == 1 else 'cost'} nothing"] if free else [])]
    return "; ".join([", ".join(words) if words else "nothing is lost", *rest])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def losses(metrics: Metrics) -> Html:
    """A sentence for each split, the steps of the first one drawn, and the recall of each prefix."""
    found = [(split, steps) for split in figures.splits(metrics) if (steps := lost(metrics, split))]
    parts: list[Html] = []
    for split, steps in found:
        left = element("strong", points(1 - sum(steps.values())))
        what = "points of recall@10" if "model" in steps else "items that exact search finds,"
        parts.append(element("p", f"{SPLITS[split]}: of 100 {what} the index reaches ", left, f". Lost: {sentence(steps)}."))
    if found:
        parts.append(element("div", _waterfall(*found[0]), class_="plots"))
    return join([*parts, _prefixes(metrics)])


def _waterfall(split: str, steps: Mapping[str, float]) -> Html:
    note = (
        "One stage is swapped at a time: exact search over whole vectors, then over the dimensions that the index keeps, "
        "then over its codes, then the search as it is."
    )
    title = f"Recall@10 on the {SPLITS[split].lower()} queries, step by step"
    return drawn("losses", title, note, f"{title}: {sentence(steps)}", waterfall(steps))


def waterfall(steps: Mapping[str, float]) -> dict[str, Any]:
    """Plotly's data and layout: a perfect answer (without labels: exact search), what each step takes off it, and what is left."""
    names, starts, widths, texts = ["a perfect answer" if "model" in steps else "exact search"], [0.0], [100.0], ["100.0"]
    left = 100.0
    for step, value in steps.items():
        names.append(STEPS[step])
        left -= 100 * value
        starts.append(min(left, left + 100 * value))
        widths.append(abs(100 * value))
        texts.append(("+" if value <= -NOTHING else "−" if value >= NOTHING else "") + points(abs(value)))
    ends = [("ends", 0, [0, len(names)]), ("lost", 1, range(1, len(names)))]
    names, starts, widths, texts = [*names, "the index"], [*starts, 0.0], [*widths, left], [*texts, f"{left:.1f}"]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": label,
            "y": [names[place] for place in places],
            "x": [widths[place] for place in places],
            "base": [starts[place] for place in places],
            "text": [texts[place] for place in places],
            "textposition": "outside",
            "cliponaxis": False,
            "hoverinfo": "none",
            "meta": {"colour": colour, "bar": True},
        }
        for label, colour, places in ends
    ]
    layout = {
        "xaxis": {"title": {"text": "points of recall@10"}, "range": [0, 122], "tickvals": [0, 25, 50, 75, 100]},
        "yaxis": {"categoryorder": "array", "categoryarray": names[::-1]},
        "hovermode": "closest",
        "barmode": "overlay",
        "bargap": 0.35,
        "showlegend": False,
    }
    return {"data": traces, "layout": layout}


def _prefixes(metrics: Metrics) -> Html:
    """Exact recall@10 of each prefix and of the whole vectors, a column for each split."""
    splits = figures.splits(metrics)
    pattern = re.compile(r"[^/]+/prefix/(\d+)/recall@10")
    dims = sorted({int(match[1]) for match in map(pattern.fullmatch, metrics) if match})
    if not dims:
        return Html("")
    keys = [(str(dim), f"prefix/{dim}/recall@10") for dim in dims] + [("all", "model/recall@10")]
    headings: list[str | Html] = ["Dimensions"]
    for split in splits:
        headings += [number_heading(SPLITS[split]), number_heading("kept")]
    rows = []
    for label, key in keys:
        cells = [row_heading(label)]
        for split in splits:
            found, whole = figures.figure(metrics, f"{split}/{key}"), figures.figure(metrics, f"{split}/model/recall@10")
            cells += [_share(found), number(_kept(found, whole))]
        rows.append(cells)
    note = "Exact search over the first dimensions of the vectors alone; prefix_dim lets the index keep so many, without another training."
    return join(
        [
            element("h3", "What a shorter dimension costs"),
            table(headings, rows, caption="Recall@10 of prefixes"),
            element("p", note, class_="note"),
        ]
    )


def _share(found: Figure | None) -> Html:
    return number(join([figures.share(found.value), element("span", figures.interval(found), class_="ends")]) if found else MISSING)


def _kept(found: Figure | None, whole: Figure | None) -> str:
    return f"{found.value / whole.value:.1%}" if found and whole and whole.value > 0 else MISSING
