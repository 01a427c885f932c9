"""The worked example of CONTRIBUTING, written into a copy of the project, is a loss that keeps every promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tt_hydra.config.paths import PACKAGE

ROOT = PACKAGE.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:yaml|python)\n# (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's sources with the example's files, at the places that it names."""
    for name in ("tt_hydra", "conf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, content in FILES.items():
        assert not (tmp_path / name).exists(), f"{name} is an example, and a file of the project"
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def done(folder: Path, *arguments: str) -> str:
    """What a module of this Python prints in the copy, which goes before the project itself."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_a_loss_in_three_files_keeps_the_contract(copy: Path) -> None:
    (option,) = (Path(name).stem for name in FILES if name.startswith("conf/loss/"))
    assert set(FILES) == {f"conf/loss/{option}.yaml", f"tt_hydra/loss/{option}.py", f"tests/loss/test_{option}.py"}
    files = ("tests/contracts/test_loss.py", f"tests/loss/test_{option}.py", "tests/config/test_options.py")
    for name in files[:2]:
        assert name in TEXT
    told = done(copy, "pytest", *files, "-q", "-rA", "-p", "no:cacheprovider", "-k", f"{option} or same_names")
    assert f"test_gradient_is_that_of_finite_differences[{option}]" in told
    assert f"test_every_option_composes_passes_the_check_and_is_built[loss/{option}.yaml]" in told
    assert len(re.findall(r"^PASSED", told, re.MULTILINE)) > 20


def test_the_example_is_clean(copy: Path) -> None:
    python = [name for name in FILES if name.endswith(".py")]
    done(copy, "ruff", "check", "--no-cache", *python)
    done(copy, "ruff", "format", "--no-cache", "--check", *python)


def test_the_packages_stand_in_the_order_of_the_import_rules() -> None:
    rules = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("layers = [")[2].partition("]")[0]
    expected = [set(re.findall(r"tt_hydra\.(\w+)", line)) for line in rules.splitlines() if "tt_hydra." in line]
    table = TEXT.partition("| packages |")[2].partition("\n\n")[0]
    assert [set(re.findall(r"`(\w+)`", line.split("|")[1])) for line in table.splitlines() if line.startswith("| `")] == expected
