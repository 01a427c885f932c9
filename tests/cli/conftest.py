from __future__ import annotations

import logging
import sys

import pytest

from tt_hydra import cli


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory, and the logging of this process as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TT_HYDRA_OUTPUTS", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def line(monkeypatch):
    """Runs a command line and returns its status."""

    def line(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tt-hydra", *arguments])
        return cli.status(arguments)

    return line
