"""The wheel holds the option files, and what is installed from it works anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tt_hydra.config.paths import PACKAGE

ROOT = PACKAGE.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_option_and_every_module(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    options = {f"tt_hydra/conf/{path.relative_to(ROOT / 'conf').as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    modules = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    page = {path.relative_to(ROOT).as_posix() for path in (PACKAGE / "serve" / "page").iterdir()} | {"tt_hydra/deploy/Containerfile"}
    assert options | modules | page | {"hydra_plugins/tt_hydra_sweeper.py"} <= names
    assert not any(name.startswith(("conf/", "tests/")) for name in names)


def test_what_is_installed_elsewhere_works_from_anywhere(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:  # what an installer does with a wheel of plain files
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    asked = "import tt_hydra, tt_hydra.config.paths as paths; print(tt_hydra.__file__, paths.config_dir())"
    found = subprocess.run([sys.executable, "-c", asked], cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(site / "tt_hydra" / "__init__.py"), str(site / "tt_hydra" / "conf")]
    check = [sys.executable, "-m", "tt_hydra", "check", "tower=sequence", "index=hnsw"]
    done = subprocess.run(check, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["ok"]), done.stderr
    assert list(elsewhere.iterdir()) == []


def test_the_script_is_declared(wheel):
    archive = zipfile.ZipFile(wheel)
    entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "tt-hydra = tt_hydra.cli:main" in archive.read(entry_points).decode()
