"""Where the option files are: beside the sources in a checkout, inside the package in a wheel, and where a user says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hydra.conf import HydraConf

import tt_hydra
from tt_hydra.config.arguments import quote
from tt_hydra.errors import ConfigError

PACKAGE = Path(tt_hydra.__file__).resolve().parent
PLAIN = re.compile(r"[\w:/.-]+")
"""Texts that Hydra reads back unquoted."""


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


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """Where options of the user's own are looked up.

    Attributes:
        folders: those of ``--config-dir``.
        places: what ``hydra.searchpath`` names.
    """

    folders: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, hydra_node: HydraConf) -> OwnOptions:
        """Reads them from Hydra's own node of a composed configuration."""
        sources = [(str(source.provider), source) for source in hydra_node.runtime.config_sources]
        return cls(
            tuple(str(source.path) for provider, source in sources if provider == "command-line"),
            tuple(f"{source.schema}://{source.path}" for provider, source in sources if provider == "hydra.searchpath in command-line"),
        )

    def words(self) -> list[str]:
        """The words of a command line that have options looked up there: Hydra takes one ``--config-dir``, the others as places."""
        places = (*(f"file://{folder}" for folder in self.folders[1:]), *self.places)
        return [f"--config-dir={folder}" for folder in self.folders[:1]] + _searchpath(places)

    def overrides(self) -> list[str]:
        """What a loader over the folders is told to look in the places too."""
        return _searchpath(self.places)


def _searchpath(places: tuple[str, ...]) -> list[str]:
    texts = [text if PLAIN.fullmatch(text) else quote(text) for text in places]
    return [f"hydra.searchpath=[{','.join(texts)}]"] if texts else []
