"""What a comparison of runs is made of: plain values, filled in by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tt_hydra.contracts import Estimate

ABSENT = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        letter: what tables call it.
        name: what tells it from the others: overrides that they do not share, or the name of its folder.
        folder: the run's.
        overrides: what it was started with.
    """

    letter: str
    name: str
    folder: Path
    overrides: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityRow:
    """One metric of all runs.

    Attributes:
        key: as in ``metrics.json``.
        values: its mean over the compared queries, run by run.
        differences: mean of the paired differences to the first run, of the second run and those after it.
    """

    key: str
    values: Sequence[float]
    differences: Sequence[Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Everything that a comparison shows.

    Attributes:
        command: the command line that made it.
        runs: the first is the one that the others are compared with.
        split: whose queries were compared, ``valid`` or ``test``.
        queries: how many queries; rows of one query are one.
        rows: how many rows: a query is there once for each of its texts.
        settings: values of the settings that differ, run by run.
        quality: metrics that each query has.
        costs: figures without a value for each query, run by run; None where a run did not measure it.
        notes: what the reader must know.
    """

    command: str
    runs: Sequence[ComparedRun]
    split: str
    queries: int
    rows: int
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    quality: Sequence[QualityRow] = ()
    costs: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def verdict(difference: Estimate) -> str:
    """Which of two is better by an interval that leaves out zero; empty where that cannot be told."""
    return "better" if difference.low > 0 else "worse" if difference.high < 0 else ""


def signed(value: float) -> str:
    """A difference of shares: +0.0123."""
    return f"{value:+.4f}"
