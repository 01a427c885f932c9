"""What a study is driven with: its plan, the job of one trial, and what the trial came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tt_hydra.sweep.settings import SweepSettings
from tt_hydra.sweep.space import Space
from tt_hydra.sweep.watching import Watching

if TYPE_CHECKING:
    from tt_hydra.contracts import OperatingPoint  # which loads torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A study to be driven.

    Attributes:
        settings: how it searches.
        space: what it searches.
        folder: of the sweep; each trial has a folder in it, named by its number.
        n_trials: how many trials it may have; None for no such limit.
        seed: of the sampler.
        shared: overrides that all trials run with.
        machine: those that this process's trials run with on its machine, besides; they change no result.
        program: words before the overrides in the command line of a trial.
        as_typed: writes overrides as a person types them.
        command: the command line that started the study.
        read_points: finds the operating points that a run left in its folder.
    """

    settings: SweepSettings
    space: Space
    folder: Path
    n_trials: int | None
    seed: int
    shared: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()
    program: tuple[str, ...] = ("python", "-m", "tt_hydra")
    as_typed: Callable[[Sequence[str]], Sequence[str]] = field(default=lambda words: words)
    command: str = ""
    read_points: Callable[[Path], Sequence[OperatingPoint]] = field(default=lambda folder: ())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to: its figures, and by how much it passes each limit (kept where not above zero)."""

    metrics: Mapping[str, float]
    constraints: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A trial to run.

    Attributes:
        number: its own.
        overrides: of the trial, those that all share included.
        watch: who follows its training.
        environment: what a process of its own must know of it, see ``current.TRIAL``.
    """

    number: int
    overrides: Sequence[str]
    watch: Watching
    environment: str
