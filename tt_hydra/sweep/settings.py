"""What a sweep can be told: the ``sweep`` node as a plain dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tt_hydra.errors import ConfigError
from tt_hydra.sweep.objective import Direction, direction_of, problem_of

USUAL = ("valid/index/recall@10",)
"""What is aimed at where nobody says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepSettings:
    """How a study searches, and when it ends. Nothing here changes what a trial's stages are.

    Attributes:
        name: of the study and its folder. The same name goes on with the same study, in this process or beside others.
        space: searched keys: values in Hydra's grammar (``choice``, ``range``, ``interval``, ``tag(log, ...)``), or a mapping of
            ``values`` and the ``when`` under which the key is searched. The command line adds to it; a value given there ends the search
            of its key.
        automatic: whether space, fixed and starts are proposed by the data, besides what is given.
        fixed: overrides that all trials share.
        starts: values by key of the first trials; a key that is left out is drawn.
        objectives: keys of ``metrics.json``, the first the one that matters most; none of the test part.
        directions: ``maximize`` or ``minimize`` for each objective; null where the keys say it themselves.
        sampler: who proposes the next trial.
        pruner: who ends bad trainings, by their validation recall.
        prune_after: epochs before which no training is ended.
        prune_factor: of this many trainings that come to a rung, one goes on (asha, hyperband).
        minutes: time that the study may take, all its processes together; null for no limit.
        patience: finished trials without a better one after which the study ends; null for no such end.
        max_failures: failed trials after which the study ends; those that ``index=auto`` refuses for the budget count until one keeps it.
        workers: processes that work on it beside each other on this machine.
        storage: where Optuna keeps the study: null for a journal in its folder, or any URL that Optuna takes.
        warm_start: an earlier study (its folder, or storage URL#name) to learn from; null for none.
        seed: of the sampler; null for that of the run.
        final: whether the winner is run once more in full at the end, test part included.
        publish: whether the winner's bundle becomes the current version of the registry.
    """

    name: str
    space: Mapping[str, Any] = field(default_factory=dict)
    automatic: bool = False
    fixed: tuple[str, ...] = ()
    starts: tuple[Mapping[str, Any], ...] = ()
    objectives: tuple[str, ...] = USUAL
    directions: tuple[Direction, ...] | None = None
    sampler: Literal["tpe", "gp", "nsga2", "random"] = "tpe"
    pruner: Literal["asha", "hyperband", "median", "none"] = "asha"
    prune_after: int = 1
    prune_factor: int = 3
    minutes: float | None = None
    patience: int | None = None
    max_failures: int = 5
    workers: int = 1
    storage: str | None = None
    warm_start: str | None = None
    seed: int | None = None
    final: bool = True
    publish: bool = False

    def __post_init__(self) -> None:
        problems = [*self._objectives(), *self._limits()]
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def goals(self) -> dict[str, Direction]:
        """Each objective with its direction."""
        known = self.directions or tuple(direction_of(key) or "maximize" for key in self.objectives)
        return dict(zip(self.objectives, known, strict=True))

    def _objectives(self) -> list[str]:
        found = [f"sweep.objectives: {problem}" for key in self.objectives if (problem := problem_of(key)) is not None]
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            found.append(f"sweep.objectives must be one key or several different ones, got {list(self.objectives)}")
        if self.directions is not None and len(self.directions) != len(self.objectives):
            found.append(f"sweep.directions must be as many as sweep.objectives ({len(self.objectives)}), got {len(self.directions)}")
        return found

    def _limits(self) -> list[str]:
        lowest = {"prune_after": 1, "prune_factor": 2, "patience": 1, "max_failures": 0, "workers": 1, "seed": 0}
        values = {name: getattr(self, name) for name in lowest}
        found = [
            f"sweep.{name} must be at least {lowest[name]}, got {value}"
            for name, value in values.items()
            if value is not None and value < lowest[name]
        ]
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            found.append(f"sweep.minutes must be above 0, or null for no limit, got {self.minutes}")
        if self.publish and not self.final:
            found.append("sweep.publish needs the winner's bundle, which sweep.final=false does not make")
        if not self.name or self.name in (".", "..") or "/" in self.name:
            found.append(f"sweep.name must be a folder's name, got {self.name!r}")
        return found
