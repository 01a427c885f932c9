from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tt_hydra.config.check import Checked, check
from tt_hydra.config.commands import COMMANDS, RUNS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.rules import RUN_RULES

Check = Callable[..., Checked]


@pytest.fixture(scope="session")
def look() -> Check:
    """Composes and checks a command line as the command does, Hydra's own part left out."""

    def look(*overrides: str, command: str = "run", folders: Sequence[Path] = ()) -> Checked:
        config, problems = compose(make_loader([str(folder) for folder in folders]), command, overrides)
        rules, given = (RUN_RULES, {"runtime.run_dir": "."}) if command in RUNS else ((), None)
        checked = check(config, COMMANDS[command], rules, given)
        return Checked(checked.spec, (*problems, *checked.problems), checked.allow)

    return look


@pytest.fixture
def told(look: Check) -> Callable[..., list[str]]:
    """The problems of a command line, in words."""

    def told(*overrides: str, **options: Any) -> list[str]:
        return [str(problem) for problem in look(*overrides, **options).problems]

    return told
