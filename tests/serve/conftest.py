from __future__ import annotations

from pathlib import Path

import pytest
from bundle_parts import FULL, make_parts

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.write import Parts, write_bundle


@pytest.fixture(scope="session")
def bundle(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test changes."""
    return write_bundle(tmp_path_factory.mktemp("served") / "bundle", parts)


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same catalogue under another model."""
    folder: Path = tmp_path_factory.mktemp("other")
    return write_bundle(folder / "bundle", make_parts(folder, FULL, seed=1))
