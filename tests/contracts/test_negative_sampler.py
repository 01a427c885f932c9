"""What every negative sampler keeps: each option of conf/negatives, with its sizes cut to the catalogues of these tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from training_views import ragged, request_of, view_of

from tt_hydra.component import instantiate
from tt_hydra.contracts import Drawn, FittedSampler, Hardness, NegativeSampler, Origin

FOLDER = Path(__file__).parents[2] / "conf" / "negatives"
OPTIONS = {path.stem: instantiate(yaml.safe_load(path.read_text()), object) for path in sorted(FOLDER.glob("*.yaml"))}
DRAWN = 15
COUNTS = [0, 200, 0, 90, 50, *([9] * 20), *([1] * 35)]
REQUEST = request_of([1, 3, 1], ragged([[3, 4, 5], [], [9, 9, 40, 59]]))
IN_BATCH = {"in_batch", "given", "mixed", "queue", "bm25", "mined"}
OWNED = {"given", "bm25", "mined"}
"""Samplers whose rows are drawn for one query each."""


def small(sampler: NegativeSampler) -> NegativeSampler:
    sizes = {"num_negatives": DRAWN, "memory": 40}
    fields = {field.name for field in dataclasses.fields(sampler)}  # type: ignore[arg-type]
    return dataclasses.replace(sampler, **{name: size for name, size in sizes.items() if name in fields})  # type: ignore[type-var]


@pytest.fixture(params=OPTIONS.values(), ids=OPTIONS.keys())
def sampler(request: pytest.FixtureRequest) -> NegativeSampler:
    return small(request.param)


@pytest.fixture
def fitted(sampler: NegativeSampler) -> FittedSampler:
    return sampler.fit(view_of(COUNTS))


def columns(drawn: Drawn) -> list[list[float]]:
    return [np.nan_to_num(getattr(drawn, name), nan=-9.0).tolist() for name in ("rows", "origin", "owner", "teacher")]


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_columns_are_of_one_length_and_of_their_types(fitted: FittedSampler) -> None:
    drawn = fitted.draw(REQUEST, np.random.default_rng(0))
    assert drawn.rows.dtype == drawn.origin.dtype == drawn.owner.dtype == np.int64
    assert drawn.teacher.dtype == np.float32
    assert drawn.rows.shape == drawn.origin.shape == drawn.owner.shape == drawn.teacher.shape
    assert drawn.rows.ndim == 1


def test_rows_are_in_range_and_distinct_for_each_owner(fitted: FittedSampler) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        drawn = fitted.draw(REQUEST, generator)
        assert ((drawn.rows >= 0) & (drawn.rows < len(COUNTS))).all()
        assert ((drawn.owner >= -1) & (drawn.owner < 3)).all()
        pairs = list(zip(drawn.owner.tolist(), drawn.rows.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)


def test_a_draw_says_where_it_comes_from_and_how_likely_it_was(fitted: FittedSampler) -> None:
    drawn = fitted.draw(REQUEST, np.random.default_rng(0))
    assert all(Origin(origin) for origin in drawn.origin.tolist())
    chances = drawn.chances.log_q_of(drawn.rows)
    assert (chances <= 0).all()
    assert (np.isfinite(chances) == (drawn.owner >= 0)).all()


def test_a_row_is_drawn_for_some_query_as_often_as_its_chance_says(fitted: FittedSampler) -> None:
    generator, times = np.random.default_rng(1), 2000
    seen = np.zeros(len(COUNTS))
    for _ in range(times):
        drawn = fitted.draw(REQUEST, generator)
        seen[np.unique(drawn.rows[drawn.owner >= 0])] += 1
    assert np.exp(drawn.chances.log_q_of(np.arange(len(COUNTS)))) == pytest.approx(seen / times, abs=0.05)


def test_parts_of_a_draw_are_those_of_their_queries(fitted: FittedSampler) -> None:
    whole = fitted.draw(REQUEST, np.random.default_rng(0))
    first, second = whole.part(0, 1), whole.part(1, 3)
    every = [(owner, row) for owner, row in zip(whole.owner.tolist(), whole.rows.tolist(), strict=True) if owner >= 0]
    assert [(0, row) for row in first.rows[first.owner == 0].tolist()] == [pair for pair in every if pair[0] == 0]
    assert [(owner + 1, row) for owner, row in zip(second.owner.tolist(), second.rows.tolist(), strict=True) if owner >= 0] == [
        pair for pair in every if pair[0] > 0
    ]
    for part in (first, second):
        assert part.rows[part.owner < 0].tolist() == whole.rows[whole.owner < 0].tolist()


def test_the_generator_is_the_only_source_of_randomness(fitted: FittedSampler) -> None:
    first, again = ([columns(fitted.draw(REQUEST, generator)) for _ in range(3)] for generator in map(np.random.default_rng, (4, 4)))
    assert first == again


def test_presence_is_a_log_probability_for_each_row(fitted: FittedSampler) -> None:
    presence = fitted.log_presence(np.arange(len(COUNTS)), 8)
    assert presence.dtype == np.float32
    assert np.isfinite(presence[np.array(COUNTS) > 0]).all()
    assert (presence <= 1e-6).all()
    assert fitted.log_presence(np.array([7, 1, 1]), 8).tolist() == [presence[7], presence[1], presence[1]]
    assert fitted.log_presence(np.empty(0, np.int64), 8).shape == (0,)


def test_presence_does_not_fall_with_the_batch(fitted: FittedSampler) -> None:
    rows = np.arange(len(COUNTS))
    assert (fitted.log_presence(rows, 64) >= fitted.log_presence(rows, 8) - 1e-6).all()


def test_without_training_positives_it_still_fits(sampler: NegativeSampler) -> None:
    fitted = sampler.fit(view_of([0] * 5))
    assert np.ptp(fitted.log_presence(np.arange(5), 8)) == 0
    assert (fitted.draw(request_of([0], ragged([[4]])), np.random.default_rng(0)).rows < 5).all()


def test_a_catalogue_smaller_than_the_draw(sampler: NegativeSampler) -> None:
    fitted = sampler.fit(view_of([3, 1, 0]))
    drawn = fitted.draw(request_of([0], ragged([[2]])), np.random.default_rng(0))
    assert set(drawn.rows.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("never_taken", [False, True])
@pytest.mark.parametrize("name", sorted({"uniform", "popularity", "mixed", "catalogue"} & OPTIONS.keys()))
def test_presence_is_how_often_an_item_is_there(name: str, never_taken: bool) -> None:
    """Within the error of counting, and 2% for popularity's formula."""
    sampler = dataclasses.replace(small(OPTIONS[name]), never_taken=never_taken)  # type: ignore[type-var]
    fitted, generator, times, batch = sampler.fit(view_of(COUNTS)), np.random.default_rng(1), 4000, 6
    seen, share = np.zeros(len(COUNTS)), np.maximum(COUNTS, 0.5) / np.maximum(COUNTS, 0.5).sum()
    for _ in range(times):
        positives = generator.choice(len(COUNTS), batch, p=share)
        rows = fitted.draw(request_of(positives), generator).rows
        seen[np.union1d(rows, positives) if fitted.in_batch else rows] += 1
    expected = np.exp(fitted.log_presence(np.arange(len(COUNTS)), batch))
    assert (np.abs(seen / times - expected) <= 0.02 * expected + 4 * np.sqrt(expected / times)).all()


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - OWNED))
def test_what_nobody_took_is_drawn_for_all_only_where_that_is_asked_for(name: str) -> None:
    """The training part takes items 1 and 3 of five; all five are there to be drawn under ``never_taken``."""
    generator, sampler = np.random.default_rng(0), small(OPTIONS[name])
    fitted = sampler.fit(view_of([0, 3, 0, 1, 0]))
    assert set(fitted.draw(request_of([1, 3]), generator).rows.tolist()) <= {1, 3}
    if "never_taken" in {field.name for field in dataclasses.fields(sampler)}:  # type: ignore[arg-type]
        every = dataclasses.replace(sampler, never_taken=True).fit(view_of([0, 3, 0, 1, 0]))  # type: ignore[type-var]
        assert set(every.draw(request_of([1, 3]), generator).rows.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - OWNED))
def test_shared_rows_have_no_owner(name: str) -> None:
    drawn = small(OPTIONS[name]).fit(view_of(COUNTS)).draw(REQUEST, np.random.default_rng(0))
    assert (drawn.owner == -1).all()


@pytest.mark.parametrize("name", sorted(OWNED & OPTIONS.keys()))
def test_the_share_of_a_curriculum_leaves_the_data_s_own_negatives_alone(name: str) -> None:
    fitted = small(OPTIONS[name]).fit(view_of(COUNTS))
    drawn = fitted.draw(dataclasses.replace(REQUEST, hardness=Hardness(share=0.0)), np.random.default_rng(0))
    assert (len(drawn.rows) > 0) == (name == "given")


def test_only_given_needs_negatives_from_the_data() -> None:
    assert {name for name, option in OPTIONS.items() if option.requires_given} == {"given"}


def test_in_batch_is_said_by_the_fitted_sampler() -> None:
    in_batch = {name for name, option in OPTIONS.items() if option.fit(view_of(COUNTS)).in_batch}
    assert in_batch == IN_BATCH & OPTIONS.keys()


def test_only_a_queue_has_a_memory() -> None:
    assert {name for name, option in OPTIONS.items() if small(option).fit(view_of(COUNTS)).memory} == {"queue"} & OPTIONS.keys()
