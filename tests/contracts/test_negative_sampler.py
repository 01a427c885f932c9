"""What every negative sampler keeps: each option of conf/negatives, with its sizes cut to the catalogues of these tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from tt_hydra.component import instantiate
from tt_hydra.contracts import FittedSampler, NegativeSampler, Ragged

FOLDER = Path(__file__).parents[2] / "conf" / "negatives"
OPTIONS = {path.stem: instantiate(yaml.safe_load(path.read_text()), object) for path in sorted(FOLDER.glob("*.yaml"))}
DRAWN = 15
COUNTS = np.array([0, 200, 0, 90, 50, *([9] * 20), *([1] * 35)], np.float32)
GIVEN = Ragged(np.array([3, 4, 5, 9, 9, 40, 59]), np.array([0, 3, 3, 7]))
POSITIVES = np.array([1, 3, 1])


def small(sampler: NegativeSampler) -> NegativeSampler:
    fields = {field.name for field in dataclasses.fields(sampler)}  # type: ignore[arg-type]
    return dataclasses.replace(sampler, num_negatives=DRAWN) if "num_negatives" in fields else sampler  # type: ignore[type-var]


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def sampler(request: pytest.FixtureRequest) -> NegativeSampler:
    return small(request.param)


@pytest.fixture
def fitted(sampler: NegativeSampler) -> FittedSampler:
    return sampler.fit(COUNTS)


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_rows_are_distinct_and_in_range(fitted: FittedSampler) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        rows = fitted.draw(POSITIVES, GIVEN, generator)
        assert rows.dtype == np.int64
        assert rows.ndim == 1
        assert len(set(rows.tolist())) == len(rows)
        assert ((rows >= 0) & (rows < len(COUNTS))).all()


def test_the_generator_is_the_only_source_of_randomness(fitted: FittedSampler) -> None:
    first, again = (
        [fitted.draw(POSITIVES, GIVEN, generator).tolist() for _ in range(3)] for generator in map(np.random.default_rng, (4, 4))
    )
    assert first == again


def test_log_q_is_a_finite_float32_for_each_row(fitted: FittedSampler) -> None:
    log_q = fitted.log_q(np.arange(len(COUNTS)))
    assert log_q.dtype == np.float32
    assert np.isfinite(log_q).all()
    assert fitted.log_q(np.array([7, 1, 1])).tolist() == [log_q[7], log_q[1], log_q[1]]
    assert fitted.log_q(np.empty(0, np.int64)).shape == (0,)


def test_without_training_positives_it_still_fits(sampler: NegativeSampler) -> None:
    fitted = sampler.fit(np.zeros(5, np.float32))
    assert np.ptp(fitted.log_q(np.arange(5))) == 0
    assert (fitted.draw(np.array([0]), Ragged(np.array([4]), np.array([0, 1])), np.random.default_rng(0)) < 5).all()


def test_a_catalogue_smaller_than_the_draw(sampler: NegativeSampler) -> None:
    fitted = sampler.fit(np.array([3, 1, 0], np.float32))
    rows = fitted.draw(np.array([0]), Ragged(np.array([2]), np.array([0, 1])), np.random.default_rng(0))
    assert set(rows.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_log_q_is_how_often_an_item_is_drawn(name: str) -> None:
    """Of all rows drawn, an item's share is exp(log_q): within the error of counting, and 2% for popularity's formula."""
    fitted, generator, times = small(OPTIONS[name]).fit(COUNTS), np.random.default_rng(1), 4000
    drawn = np.concatenate([fitted.draw(POSITIVES, None, generator) for _ in range(times)])
    assert len(drawn) == times * DRAWN
    share, expected = np.bincount(drawn, minlength=len(COUNTS)) / len(drawn), np.exp(fitted.log_q(np.arange(len(COUNTS))))
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    assert (np.abs(share - expected) < 0.02 * expected + 4 * np.sqrt(expected / len(drawn))).all()


def test_only_given_needs_negatives_from_the_data() -> None:
    assert {name for name, option in OPTIONS.items() if option.requires_given} == {"given"}


def test_in_batch_is_said_by_the_fitted_sampler() -> None:
    in_batch = {name for name, option in OPTIONS.items() if option.fit(COUNTS).in_batch}
    assert in_batch == {"in_batch", "given"}
