from __future__ import annotations

from collections.abc import Callable

import pytest

from tt_hydra.config.check import Checked, check
from tt_hydra.config.commands import COMMANDS
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.config.rules import RUN_RULES


@pytest.fixture(scope="session")
def look() -> Callable[..., Checked]:
    """Composes and checks the command line of a run."""

    def look(*overrides: str) -> Checked:
        config, problems = compose(make_loader([]), "run", overrides)
        checked = check(config, COMMANDS["run"], RUN_RULES, {"runtime.run_dir": "."})
        return Checked(checked.spec, (*problems, *checked.problems), checked.allow)

    return look
