from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; see cli.main
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each worker has a core

if TYPE_CHECKING:
    from tt_hydra.artifact.write import Parts


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """What a bundle of a small data set is made of."""
    from bundle_parts import make_parts  # noqa: PLC0415  # seconds of imports that most tests do not need

    return make_parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture
def bundle_folder(parts: Parts, tmp_path: Path) -> Path:
    """A bundle that a test may harm."""
    from tt_hydra.artifact.write import write_bundle  # noqa: PLC0415

    return write_bundle(tmp_path / "bundle", parts).folder
