"""What a command line of ``--multirun`` searches, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from tt_hydra.commands import checked
from tt_hydra.config import space as spaces
from tt_hydra.config.build import build
from tt_hydra.config.compose import compose
from tt_hydra.config.examples import common, examples
from tt_hydra.config.overrides import REFUSALS, diagnose
from tt_hydra.config.problems import Problem
from tt_hydra.proposals import propose, starts
from tt_hydra.sweep.settings import SweepSettings
from tt_hydra.sweep.space import Space

SEARCHED = ("run", "check")
"""Commands that can be a study."""
TEXTS = ("name", "storage", "warm_start")
"""Keys of the ``sweep`` node that YAML reads as numbers where they are written so."""


@dataclass(frozen=True, slots=True)
class Search:
    """A study as the command line describes it.

    Attributes:
        space: what is searched.
        shared: overrides of all trials.
        node: the ``sweep`` node.
        own: overrides of the sweep itself and of Hydra.
    """

    space: Space
    shared: tuple[str, ...]
    node: Mapping[str, Any]
    own: tuple[str, ...] = ()

    @property
    def fixed(self) -> tuple[str, ...]:
        """Overrides that the sweep itself gives to all trials."""
        return tuple(str(each) for each in self.node.get("fixed") or ())

    @property
    def settings(self) -> SweepSettings:
        """How it searches."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in self.node.items()}
        values |= {key: str(values[key]) for key in TEXTS if values.get(key) is not None}
        return SweepSettings(**values)


def is_study(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str]) -> bool:
    """Whether what ``--multirun`` was told is a study rather than a grid: it names a space, or a sweep, or how many trials."""
    if command not in SEARCHED:
        return False
    if spaces.names_a_study(loader, overrides):
        return True
    line = spaces.sort(loader, overrides)
    config, problems = compose(loader, command, [*line.own, *line.fixed])
    return not problems and bool(config.sweep.space)


def unread(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str]) -> list[Problem]:
    """What the command line of a single run says of a search, which it does not read."""
    told = spaces.named(spaces.sort(loader, overrides)) if command in SEARCHED else []
    what = f"is read by --multirun alone, and this is a single run ({' '.join(told)}): add --multirun to search"
    return [Problem("sweep", what, warning=True)] if told else []


def search_of(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str]) -> tuple[Search, list[Problem]]:
    """The study of a command line, and what is wrong with its space.

    Args:
        loader: where options are looked up.
        command: name of the primary config.
        overrides: as on the command line.
    """
    line = spaces.sort(loader, overrides)
    told, _ = compose(loader, command, [*line.own, *line.fixed])  # what is wrong here may fit what the sweep fixes
    malformed = [each for each in checked(told, command, ".").problems if each.path.startswith("sweep.") and not each.warning]
    if malformed:
        return Search(Space(()), (), {}), [*line.problems, *malformed]
    node: dict[str, Any] = OmegaConf.to_container(told.sweep, resolve=True)  # type: ignore[assignment]
    shared = _shared(node, line)
    config, problems = _composed(loader, command, [*line.own, *shared])
    problems = problems or [*_trials(config), *_published(config, node)]
    if node.get("automatic") and not problems:
        propose(config, command, node)
        shared = _shared(node, line)
        config, problems = _composed(loader, command, [*line.own, *shared])
    if problems:
        return Search(Space(()), shared, node), [*line.problems, *problems]
    space, problems = spaces.space_of(loader, node.get("space") or {}, line, config)
    if node.get("automatic"):  # where nothing is left to search, the one trial is the result
        problems = [problem for problem in problems if problem.path != "sweep.space"]
    return Search(space, shared, node, tuple(line.own)), [*problems, *starts(space, node)]


def _trials(config: DictConfig) -> list[Problem]:
    """What is wrong with the number of trials; Hydra's own node is checked by nobody else."""
    wanted = config.hydra.sweeper.get("n_trials")
    if wanted is None or (isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0):
        return []
    return [Problem("hydra.sweeper.n_trials", f"must be a whole number from 1 on, or null, got {wanted!r}")]


def _published(config: DictConfig, node: Mapping[str, Any]) -> list[Problem]:
    if not node.get("publish") or config.runtime.bundle:
        return []
    return [Problem("sweep.publish", "needs the winner's bundle, which runtime.bundle=false does not make")]


def _shared(node: Mapping[str, Any], line: spaces.Swept) -> tuple[str, ...]:
    """Overrides of all trials: what the sweep fixes, then what the command line does."""
    return (*(str(each) for each in node.get("fixed") or () if str(each) not in line.fixed), *line.fixed)


def examine(loader: ConfigLoaderImpl, command: str, search: Search) -> list[Problem]:
    """What is wrong with a search: whatever is misspelt anywhere in it, and what no trial could work with."""
    base = [*search.own, *search.shared]
    found = [compose(loader, command, [*base, *point]) for point in examples(search.space)]
    problems = list(dict.fromkeys(problem for _, misspelt in found for problem in misspelt))
    if problems:
        return problems
    checks = [checked(config, command, ".") for config, _ in found]
    sound = next((each for each in checks if not each.errors), None)
    if sound is not None:
        build(sound, object)
    return common(checks)


def _composed(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str]) -> tuple[DictConfig, list[Problem]]:
    """A configuration with Hydra's own node, which knows the option of each group."""
    try:
        return loader.load_configuration(command, list(overrides), run_mode=RunMode.RUN, from_shell=False), []
    except REFUSALS as error:
        return diagnose(loader, command, overrides, error)
