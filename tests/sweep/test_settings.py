"""What a sweep can be told, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest

from tt_hydra.config.build import build
from tt_hydra.errors import ConfigError
from tt_hydra.metrics.ranking import DEFAULT_CUTOFFS
from tt_hydra.pipeline.settings import RunSettings
from tt_hydra.pipeline.stage.table import STAGES
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


def test_every_figure_of_quality_loss_and_time_can_be_aimed_at():
    ranking = [*(f"recall@{depth}" for depth in DEFAULT_CUTOFFS.recall), f"ndcg@{DEFAULT_CUTOFFS.ndcg}", f"mrr@{DEFAULT_CUTOFFS.mrr}"]
    figures = [*(f"{kind}/{name}" for kind in ("model", "index") for name in ranking), "ann/recall@10", "prefix/32/recall@10"]
    rising = [f"valid/{figure}{end}" for figure in figures for end in ("", "/ci_low", "/ci_high")]
    falling = [f"valid/lost/{step}" for step in ("model", "dim", "quantizer", "search")]
    falling += ["valid/ann/lost/quantizer", "index/auto/seconds", *(f"stage/{name}/seconds" for name in STAGES)]
    assert set(SweepSettings(name="a", objectives=tuple(rising)).goals.values()) == {"maximize"}
    assert set(SweepSettings(name="a", objectives=tuple(falling)).goals.values()) == {"minimize"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objectives": ("test/index/recall@10",)}, "nothing may be chosen by; use 'valid/index/recall@10'"),
        ({"objectives": ("valid/index/recal@10",)}, "did you mean 'valid/index/recall@10'"),
        ({"objectives": ("valid/index/recall@10/ci_lo",)}, "did you mean 'valid/index/recall@10/ci_low'"),
        ({"objectives": ("valid/lost/quantiser",)}, "did you mean 'valid/lost/quantizer'"),
        ({"objectives": ("valid/prefix/32/recal@10",)}, "did you mean 'valid/prefix/32/recall@10'"),
        ({"objectives": ("valid/prefix/x/recall@10",)}, "'valid/prefix/x/recall@10' is no figure of a run to aim at"),
        ({"objectives": ("stage/trian/seconds",)}, "did you mean 'stage/train/seconds'"),
        ({"objectives": ("search/p99_ms/ci_low",)}, "did you mean 'search/p99_ms'"),
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
