from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_table import write_table

from tt_hydra.commands import checked
from tt_hydra.config.build import build
from tt_hydra.config.compose import compose, make_loader
from tt_hydra.pipeline.profile import profile
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.sweep.automatic import DataProfile


def settings_of(*overrides: str) -> RunSettings:
    config, problems = compose(make_loader(), "run", overrides)
    assert not problems
    return build(checked(config, "run", "unused"), RunSettings)


def test_a_table_with_histories(tmp_path: Path) -> None:
    """48 users, 80 items, 8 events each, the last two held out: 288 training pairs."""
    found = profile(settings_of(*write_table(tmp_path / "table"), f"runtime.outputs={tmp_path}"))
    assert found == DataProfile(items=80, pairs=288, only_text=False, history=True, vectors=False)
    assert len(list((tmp_path / "store" / "prepare").glob("[0-9a-f]*"))) >= 1


def test_given_vectors(tmp_path: Path) -> None:
    for name, rows in (("items", 30), ("queries", 10)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32))
    found = profile(settings_of("data=vectors", f"data.path={tmp_path}", f"runtime.outputs={tmp_path}"))
    assert found == DataProfile(items=30, pairs=0, only_text=False, history=False, vectors=True)
