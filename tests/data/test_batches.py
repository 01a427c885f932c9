from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.contracts import Chances, Drawn, Origin
from tt_hydra.data.batches import assemble, epoch
from tt_hydra.data.declaration import SplitSpec

RANDOM = SplitSpec(kind="random", valid=0.1, test=0.1)


NOTHING = Drawn.shared(np.zeros(0, np.int64), Origin.UNIFORM)


def log_presence(rows):
    return -np.log(rows + 2.0).astype(np.float32)


def drawn_for(owner, rows, origin, teacher=None, chances=None):
    """``chances`` by row."""
    teacher = np.full(len(rows), np.nan, np.float32) if teacher is None else np.array(teacher, np.float32)
    known = Chances.none() if chances is None else Chances.of(np.array(list(chances)), np.array(list(chances.values())))
    return Drawn(rows=np.array(rows), origin=np.array(origin), owner=np.array(owner), teacher=teacher, chances=known)


@pytest.mark.parametrize(("examples", "size"), [(10, 4), (1025, 1024), (7, 100), (8, 4), (1, 1)])
def test_every_example_comes_once_in_batches_of_nearly_one_size(examples, size):
    batches = epoch(examples, size, 1, 0, seed=0, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(examples))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert len(batches) == -(-examples // size)


def test_no_example_gives_no_batch():
    assert epoch(0, 4, 1, 0, seed=0, epoch=0) == []


def test_an_epoch_is_a_function_of_seed_and_number():
    def order(seed, number):
        return np.concatenate(epoch(50, 8, 1, 0, seed, number)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*pair)) for pair in ((1, 2), (2, 1), (1, 3), (0, 2))}) == 4


def test_an_epoch_of_fewer_pairs_takes_others_each_time():
    epochs = [np.concatenate(epoch(1000, 32, 1, 0, seed=7, epoch=number, taken=100)) for number in range(2)]
    assert [len(set(each)) for each in epochs] == [100, 100]
    assert len(set(epochs[0]) & set(epochs[1])) < 30  # 10 are expected
    assert [len(batch) for batch in epoch(1000, 30, 1, 0, seed=7, epoch=0, taken=100)] == [25, 25, 25, 25]
    assert sum(map(len, epoch(50, 32, 1, 0, seed=7, epoch=0, taken=100))) == 50


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_have_the_batches_of_one_process(world):
    whole = epoch(50, 8, 1, 0, seed=3, epoch=1)
    ranks = [epoch(50, 8, world, rank, seed=3, epoch=1) for rank in range(world)]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert np.concatenate(shares).tolist() == batch.tolist()
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert any(len(batch) % world for batch in whole), "the premise: shares that are not even"


def test_batches_too_small_to_share_are_left_out_on_every_rank():
    assert [epoch(3, 2, 4, rank, seed=0, epoch=0) for rank in range(4)] == [[]] * 4


def test_an_item_that_occurs_twice_is_held_once(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    index = np.array([5, 0, 17, 5, 40])
    rows, positives = dataset.train.query_rows[index], dataset.train.item_rows[index]
    negatives = np.array([positives[0], 14, 14, 2])
    batch = assemble(dataset, index, Drawn.shared(negatives, Origin.UNIFORM), in_batch=False, log_presence=log_presence)
    assert batch.item_rows.tolist() == sorted({*positives.tolist(), 14, 2})
    assert batch.items.rows.tolist() == batch.item_keys.tolist() == batch.item_rows.tolist()
    assert batch.item_rows[batch.positive].tolist() == positives.tolist()
    assert batch.queries.rows.tolist() == rows.tolist()
    assert batch.origin.tolist() == [int(Origin.UNIFORM) if row in negatives else 0 for row in batch.item_rows.tolist()]
    assert len(batch.own.query) == 0
    assert batch.teacher.isnan().all()
    np.testing.assert_allclose(batch.log_q, -np.log(batch.item_rows.numpy() + 2.0), rtol=1e-6)
    assert batch.weight.tolist() == dataset.train.weights[index].tolist()
    known = {(number, item) for number, query in enumerate(rows) for item in dataset.known.row(query).tolist()}
    assert {tuple(pair) for pair in batch.known.tolist()} == known
    assert len(batch.known) == len(known)


def test_other_positives_are_negatives_in_batch(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    batch = assemble(dataset, np.arange(8), NOTHING, in_batch=True, log_presence=log_presence)
    assert (batch.origin == int(Origin.IN_BATCH)).all()
    assert set(batch.item_rows.tolist()) == set(dataset.train.item_rows[:8].tolist())
    assert not assemble(dataset, np.arange(8), NOTHING, in_batch=False, log_presence=log_presence).origin.any()


def test_a_candidate_remembers_every_way_in_which_it_came(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    index = np.array([5, 0, 17])
    positives = dataset.train.item_rows[index]
    (other, spare) = np.setdiff1d(np.arange(15), positives)[:2]
    rows = [other, positives[1], other, other, spare, positives[2], other]
    origin = [int(each) for each in (Origin.UNIFORM, Origin.MINED, Origin.MINED, Origin.BM25, Origin.GIVEN, Origin.GIVEN, Origin.MINED)]
    owner, chances = [-1, 0, 0, 0, 1, 2, 2], {other: 0.5, positives[1]: 0.25, spare: 0.125, positives[2]: 1.0}
    teacher = [np.nan, 0.5, np.nan, 0.25, np.nan, 0.75, np.nan]
    batch = assemble(dataset, index, drawn_for(owner, rows, origin, teacher, chances), in_batch=True, log_presence=log_presence)
    came = {row: Origin(flags) for row, flags in zip(batch.item_rows.tolist(), batch.origin.tolist(), strict=True)}
    assert came[other] == Origin.UNIFORM | Origin.MINED | Origin.BM25
    assert came[spare] == Origin.GIVEN
    assert came[positives[1]] == Origin.IN_BATCH | Origin.MINED
    assert came[positives[2]] == Origin.IN_BATCH | Origin.GIVEN
    for row, log_q in zip(batch.item_rows.tolist(), batch.log_q.tolist(), strict=True):
        assert np.exp(log_q) == pytest.approx(1 - (1 - chances.get(row, 0)) * (1 - 1 / (row + 2)), rel=1e-5)
    own = batch.own
    found = zip(own.query.tolist(), batch.item_rows[own.column].tolist(), own.teacher.tolist(), strict=True)
    assert {(query, row): None if np.isnan(score) else score for query, row, score in found} == {
        (0, positives[1]): 0.5,
        (0, other): 0.25,
        (1, spare): None,
        (2, other): None,
    }
    assert own.query.tolist() == sorted(own.query.tolist())


@pytest.mark.parametrize("own", [0.0, 0.05, 0.5, 1.0])
def test_the_probability_of_a_candidate_is_that_of_either_way(random_tables, prepared, own):
    """Each way in which an item can become a candidate, in a world of four items of which each may be the one that is shared: the share of
    the worlds in which it is. Drawn with certainty it is always there."""
    dataset = prepared(random_tables(RANDOM, statistics=()))
    row = int(np.setdiff1d(np.arange(15), dataset.train.item_rows[:1])[0])
    drawn = drawn_for([0], [row], [int(Origin.MINED)], chances={row: own})
    batch = assemble(dataset, np.arange(1), drawn, in_batch=True, log_presence=lambda rows: np.full(len(rows), np.log(0.25), np.float32))
    steps = 20
    worlds = [draw < own * steps or shared == 0 for draw in range(steps) for shared in range(4)]
    assert np.exp(batch.log_q[batch.own.column].tolist()) == pytest.approx([np.mean(worlds)], rel=1e-5)


def test_what_no_query_shares_has_the_probability_of_its_draw(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    row = int(np.setdiff1d(np.arange(15), dataset.train.item_rows[:1])[0])
    drawn = drawn_for([0], [row], [int(Origin.MINED)], chances={row: 0.125})
    batch = assemble(dataset, np.arange(1), drawn, in_batch=False, log_presence=log_presence)
    assert batch.log_q[batch.own.column].tolist() == pytest.approx([np.log(0.125)])
    assert batch.log_q[batch.positive].tolist() == log_presence(dataset.train.item_rows[:1]).tolist()


def test_with_statistics_an_own_negative_is_taken_at_its_query_s_time(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM))
    index, train = np.arange(30), dataset.train
    batch = assemble(dataset, index, drawn_for([29, 7], [3, 3], [64, 64]), in_batch=False, log_presence=log_presence)
    wanted = dataset.item_keys(np.array([3, 3]), train.times[[7, 29]])
    assert batch.own.query.tolist() == [7, 29]
    assert batch.item_keys[batch.own.column].tolist() == wanted.tolist()


def test_with_statistics_an_item_is_held_once_a_moment(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM))
    index, negatives = np.arange(30), np.array([3, 3, 3, 4])
    batch = assemble(dataset, index, Drawn.shared(negatives, Origin.UNIFORM), in_batch=False, log_presence=log_presence)
    train = dataset.train
    wanted = set(zip(train.item_rows[index].tolist(), train.times[index].tolist(), strict=True))
    wanted |= set(zip(negatives.tolist(), train.times[:4].tolist(), strict=True))
    assert batch.items.size == len(wanted) == len(set(batch.item_keys.tolist()))
    name = "statistics.count"
    own = dataset.items(train.item_rows[index], train.times[index]).values[name]
    np.testing.assert_array_equal(batch.items.values[name][batch.positive], own)
    for item, moment in sorted(wanted):
        key = int(dataset.item_keys(np.array([item]), np.array([moment]))[0])
        column = batch.item_keys.tolist().index(key)
        np.testing.assert_array_equal(batch.items.values[name][column], dataset.items(np.array([item]), np.array([moment])).values[name][0])


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_together_have_the_candidates_of_one(random_tables, prepared, ranks):
    """Items that were drawn for all stand at the same moments on every rank, so that they are the same candidates."""
    dataset = prepared(random_tables(RANDOM))
    whole, drawn = np.arange(30), Drawn.shared(np.array([3, 4, 5, 6, 7]), Origin.UNIFORM)
    alone = assemble(dataset, whole, drawn, in_batch=True, log_presence=log_presence)
    parts = [assemble(dataset, part, drawn, True, log_presence, whole) for part in np.array_split(whole, ranks)]
    assert set().union(*(part.item_keys.tolist() for part in parts)) == set(alone.item_keys.tolist())


def test_the_whole_catalogue_as_candidates(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    batch = assemble(dataset, np.arange(4), Drawn.shared(np.arange(15), Origin.CATALOGUE), in_batch=False, log_presence=log_presence)
    assert batch.item_rows.tolist() == list(range(15))
    assert batch.origin.all()


def test_features_are_those_of_the_examples(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    index = np.array([9, 3])
    batch, queries = assemble(dataset, index, NOTHING, True, log_presence), dataset.queries("train", index)
    assert batch.queries.values["id"].tolist() == queries.values["id"].tolist()
    assert batch.queries.values["history"].positions.mask.tolist() == queries.values["history"].positions.mask.tolist()
