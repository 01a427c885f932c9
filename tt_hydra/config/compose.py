"""Composes a command's configuration through Hydra's loader, with no global state and no folder made."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from tt_hydra.config.overrides import REFUSALS, diagnose
from tt_hydra.config.paths import config_dir
from tt_hydra.config.problems import Problem
from tt_hydra.errors import ConfigError

VERSION_BASE = "1.3"


def make_loader(folders: Sequence[str] = ()) -> ConfigLoaderImpl:
    """Hydra's loader over our options and those in ``folders`` (Hydra's ``--config-dir``).

    Raises:
        ConfigError: such a folder does not exist.
    """
    version.setbase(VERSION_BASE)
    setup_globals()
    search_path = create_config_search_path(str(config_dir()))
    for folder in folders:
        if not os.path.isdir(folder):
            raise ConfigError(f"--config-dir {folder!r} is no folder")
        search_path.prepend("command-line", f"file://{os.path.abspath(folder)}", SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(search_path)


def compose(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str] = ()) -> tuple[DictConfig, list[Problem]]:
    """A command's configuration, Hydra's own node left out.

    Args:
        loader: where options are looked up.
        command: name of the primary config.
        overrides: as on the command line.

    Returns:
        The configuration with every override that makes sense, and what is wrong with the others.
    """
    problems: list[Problem] = []
    try:
        config = loader.load_configuration(command, list(overrides), run_mode=RunMode.RUN, from_shell=False)
    except REFUSALS as error:
        config, problems = diagnose(loader, command, overrides, error)
    with open_dict(config):
        config.pop("hydra", None)
    return config, problems


def jobs_of(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job of a ``--multirun`` grid; a single job where they are not Hydra's own kind of grid."""
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
        batches: list[list[list[str]]] = BasicSweeper.split_arguments(parsed, None)
    except HydraException:
        return [list(overrides)]
    return batches[0]
