from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

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


@pytest.fixture
def runs(monkeypatch):
    """What the pipeline was called with; its figures are best at a temperature of .1."""
    seen = []

    def run(settings, command="", changed=None, watch=None):
        seen.append(SimpleNamespace(settings=settings, watch=watch, folder=settings.runtime.run_dir))
        figures = {"valid/index/recall@10": 1 - abs(settings.temperature.start - 0.1), "index/bytes_per_item": 100.0, "search/p99_ms": 0.5}
        figures |= {"stage/train/seconds": 3.0, "stage/train/reused": 0.0, "stage/index/seconds": 1.0, "stage/index/reused": 1.0}
        figures |= {"test/index/recall@10": 0.5} if "test" in settings.evaluate.parts else {}
        (settings.runtime.run_dir / "metrics.json").write_text("{}")
        return SimpleNamespace(run_dir=settings.runtime.run_dir, metrics=figures, stages={}, curve=[0.1, 0.2])

    monkeypatch.setattr("tt_hydra.pipeline.run.run", run)
    return seen
