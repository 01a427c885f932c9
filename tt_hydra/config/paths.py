"""Where the option files are: beside the sources in a checkout, inside the package in a wheel, and where a user says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tt_hydra
from tt_hydra.errors import ConfigError

PACKAGE = Path(tt_hydra.__file__).resolve().parent


def config_dir() -> Path:
    """The folder that holds ``run.yaml``, absolute: Hydra resolves a relative one differently under ``python -m``.

    Raises:
        ConfigError: neither place has it.
    """
    places = (PACKAGE / "conf", PACKAGE.parent / "conf")
    for place in places:
        if (place / "run.yaml").is_file():
            return place
    raise ConfigError(f"no run.yaml in {places[0]} nor in {places[1]}: the installation is incomplete, install tt-hydra again")


def places_of(overrides: Sequence[str]) -> list[str]:
    """Those of Hydra's own overrides that say where else options are looked up."""
    return [each for each in overrides if each.startswith("hydra.searchpath=")]
