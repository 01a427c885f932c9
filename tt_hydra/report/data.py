"""What a report is made of: plain values, filled in by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tt_hydra.contracts import OperatingPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A configuration key whose value is not the default."""

    key: str
    default: object
    value: object


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One found item.

    Attributes:
        relevant: whether the labels name it as an answer to the query; None where nothing is known.
    """

    rank: int
    id: str
    title: str
    score: float
    relevant: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One query with what was found for it.

    Attributes:
        query: its id.
        text: its text, if it has one.
        history: titles of its earlier items, oldest first.
        expected: titles of its relevant items.
        results: best first.
    """

    query: str
    text: str = ""
    history: Sequence[str] = ()
    expected: Sequence[str] = ()
    results: Sequence[Result] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """Everything that a report shows. What is left empty is left out of the page.

    Attributes:
        title: headline, such as the data set and the parts that were chosen.
        command: the command line that repeats the run.
        when: when the run finished.
        metrics: the run's flat figures under the keys of ``metrics.json``; an interval stands in ``<key>/ci_low`` and ``/ci_high``,
            stages in ``stage/<name>/seconds`` and ``/reused``.
        description: one line about the data.
        sizes: size of each part of the data set (queries, items, training pairs ...).
        counts: what was dropped, repaired or unknown while preparing, by name.
        curves: one record for each epoch: ``epoch``, and any of ``step``, ``loss``, ``temperature``, ``positive_similarity``,
            ``hardest_negative_similarity``, ``effective_negatives``, ``negatives_share``, ``negatives_window_first``,
            ``negatives_window_last``, ``negatives_margin``, ``valid_recall@10``, ``seconds``.
        settings: the settings that differ from the defaults.
        examples: some queries with their results.
        points: every index that was tried, as measured.
        budget: its limits by name, those that were set.
        warnings: what the reader must know before trusting the figures.
        versions: versions of this package and of the libraries that matter.
        machine: processor, threads, precision and other conditions of measurement.
    """

    title: str
    command: str
    when: datetime
    metrics: Mapping[str, float]
    description: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    curves: Sequence[Mapping[str, float | None]] = ()
    settings: Sequence[Setting] = ()
    examples: Sequence[Example] = ()
    points: Sequence[OperatingPoint] = ()
    budget: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
