"""What a sweep can be told, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest

from tt_hydra.config.build import build
from tt_hydra.errors import ConfigError
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.sweep.objective import KNOWN, direction_of
from tt_hydra.sweep.settings import SweepSettings


def test_the_default_option_says_every_field_with_its_default(look):
    made = build(look(), RunSettings).sweep
    assert made == SweepSettings(name=made.name)
    assert list(look().spec["sweep"]) == ["_target_", *(field.name for field in dataclasses.fields(SweepSettings))]


@pytest.mark.parametrize("name", ["temperature_dim", "loss_negatives", "index_only", "joint", "auto"])
def test_shipped_sweeps_are_built(look, name):
    assert not look(f"sweep={name}").errors


def test_objectives_know_their_direction():
    told = SweepSettings(name="a", objectives=("valid/index/ndcg@10", "search/p99_ms", "index/bytes_per_item", "train/examples_per_s"))
    assert list(told.goals.values()) == ["maximize", "minimize", "minimize", "maximize"]
    told = SweepSettings(name="a", objectives=("stage/train/seconds",), directions=("maximize",))
    assert told.goals == {"stage/train/seconds": "maximize"}
    assert all(direction_of(key) for key in KNOWN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": ("test/index/recall@10",)}, "nothing may be chosen by; use 'valid/index/recall@10'"),
        ({"objectives": ("valid/index/recal@10",)}, "did you mean 'valid/index/recall@10'"),
        ({"objectives": ()}, "one key or several different ones"),
        ({"objectives": ("search/p99_ms", "search/p99_ms")}, "one key or several different ones"),
        ({"directions": ("maximize", "minimize")}, r"as many as sweep.objectives \(1\), got 2"),
        ({"minutes": 0.0}, "sweep.minutes must be above 0"),
        ({"patience": 0}, "sweep.patience must be at least 1, got 0"),
        ({"workers": 0}, "sweep.workers must be at least 1"),
        ({"prune_factor": 1}, "sweep.prune_factor must be at least 2"),
        ({"max_failures": -1}, "sweep.max_failures must be at least 0"),
        ({"name": "a/b"}, "sweep.name must be a folder's name"),
    ],
)
def test_values_that_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SweepSettings(**{"name": "a", **settings})


def test_all_is_refused_at_once():
    with pytest.raises(ConfigError) as refused:
        SweepSettings(name="a", objectives=("test/ann/recall@10",), patience=0, minutes=-1.0)
    assert all(key in str(refused.value) for key in ("sweep.objectives", "sweep.patience", "sweep.minutes"))
