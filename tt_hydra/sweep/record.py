"""What a study did, as plain values: what its tables, plots and files are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tt_hydra.sweep.objective import Direction

if TYPE_CHECKING:
    from tt_hydra.contracts import OperatingPoint  # which loads torch

State = Literal["running", "complete", "pruned", "failed"]
INTERRUPTED = "interrupted; the same command goes on with it"
"""Error of a trial whose process died."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: its number in the study, from 0.
        state: how it stands or ended.
        params: value of each searched key.
        overrides: what it ran with, beyond what all trials share.
        machine: what it ran with for the machine's sake, besides: its stages are reused where the same is told again.
        values: its objectives by key of ``metrics.json``; empty unless complete.
        metrics: all its figures.
        constraints: by how much each limit is passed; kept where not above zero.
        curve: validation recall after each epoch.
        stages: seconds spent in each stage; 0 where it was reused.
        reused: stages whose output an earlier trial or run had made.
        points: the operating points of its inner search over indexes, or empty.
        started: when.
        seconds: how long it ran, so far where it is running.
        error: why it failed.
        folder: its folder.
        command: a command line that runs it again.
    """

    number: int
    state: State
    params: Mapping[str, object] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    machine: Sequence[str] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[float] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    reused: Sequence[str] = ()
    points: Sequence[OperatingPoint] = ()
    started: datetime | None = None
    seconds: float = 0.0
    error: str = ""
    folder: Path | None = None
    command: str = ""

    @property
    def interrupted(self) -> bool:
        """Whether it has no end yet, though no process is at work on it."""
        return self.state == "failed" and self.error == INTERRUPTED

    @property
    def feasible(self) -> bool:
        """Whether it is complete and keeps every limit."""
        return self.state == "complete" and all(over <= 0 for over in self.constraints.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A study and its trials.

    Attributes:
        name: the study's.
        storage: where Optuna keeps it.
        folder: the sweep's folder.
        command: the command line that started it.
        objectives: direction of each objective, the first the one that orders tables.
        best: numbers of the best trials: one, or the front where there are several objectives.
        trials: in order of their numbers.
        limits: what ended or shall end it, as a person reads it.
        stopped: why it ended; empty while it runs.
    """

    name: str
    storage: str
    folder: Path
    command: str
    objectives: Mapping[str, Direction]
    best: Sequence[int]
    trials: Sequence[TrialRecord]
    limits: str = ""
    stopped: str = ""
