"""The part of a study's page that holds prefixes of wide vectors against vectors that were trained as narrow as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tt_hydra.report import figures
from tt_hydra.report.comparison import signed
from tt_hydra.report.figures import Figure
from tt_hydra.report.markup import Html, element, join, number, number_heading, row_heading, table
from tt_hydra.sweep.record import TrialRecord

NATIVE = "valid/model/recall@10"
PREFIX = re.compile(r"valid/prefix/(\d+)/recall@10")
QUESTIONS = ("data", "seed", "evaluate")
"""Nodes that may change which validation queries there are: figures of trials that differ in them are not comparable."""
NOTE = (
    "Exact search on the validation queries, the best trial of each kind, which may differ in other keys too; beside a figure its 95% "
    "interval. The prefix comes with the wider vectors of its trial, without a training of its own."
)
Best = tuple[Figure, TrialRecord]


def prefixes(trials: Sequence[TrialRecord]) -> Html:
    """Recall@10 of each dimension that one trial trained natively and another one has as a prefix; nothing where there is none."""
    done = [trial for trial in trials if trial.state == "complete"]
    if any(key.partition("=")[0].partition(".")[0] in QUESTIONS for trial in done for key in trial.overrides):
        return Html("")
    native = {dim: best for dim in _dims(done) if (best := _best(NATIVE, (trial for trial in done if _native(trial) == dim))) is not None}
    cut = {dim: best for dim in native if (best := _best(f"valid/prefix/{dim}/recall@10", done)) is not None}
    if not cut:
        return Html("")
    headings: list[str | Html] = ["Dimension", *map(number_heading, ("Trained natively", "Prefix", "Difference"))]
    rows = [[row_heading(str(dim)), *_cells(native[dim], cut[dim])] for dim in sorted(cut)]
    return join([table(headings, rows, caption="Recall@10 by dimension", class_="dense"), element("p", NOTE, class_="note")])


def _dims(trials: Sequence[TrialRecord]) -> list[int]:
    """The dimensions of all prefixes."""
    return sorted({int(match[1]) for trial in trials for match in map(PREFIX.fullmatch, trial.metrics) if match})


def _native(trial: TrialRecord) -> int | None:
    """The dimension that a trial was trained at, where that was searched."""
    values = [value for key, _, value in (word.partition("=") for word in trial.overrides) if key == "embedding_dim"]
    return int(values[-1]) if values and values[-1].isdigit() else None


def _best(key: str, trials: Iterable[TrialRecord]) -> Best | None:
    found = [(figure, trial) for trial in trials if (figure := figures.figure(trial.metrics, key)) is not None]
    return max(found, key=lambda each: each[0].value, default=None)


def _cells(native: Best, cut: Best) -> list[Html]:
    return [_cell(native), _cell(cut), number(signed(cut[0].value - native[0].value))]


def _cell(best: Best) -> Html:
    figure, trial = best
    told = ", ".join(filter(None, [figures.interval(figure), f"trial {trial.number}"]))
    return number(join([figures.share(figure.value), element("span", told, class_="ends")]))
