from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.data.batches import assemble, epoch
from tt_hydra.data.declaration import SplitSpec

RANDOM = SplitSpec(kind="random", valid=0.1, test=0.1)


def log_q(rows):
    return np.log1p(rows).astype(np.float32)


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


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_have_the_batches_of_one_process(world):
    whole = epoch(50, 8, 1, 0, seed=3, epoch=1)
    ranks = [epoch(50, 8, world, rank, seed=3, epoch=1) for rank in range(world)]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert len({len(share) for share in shares}) == 1
        assert np.concatenate(shares).tolist() == batch[: len(batch) // world * world].tolist()
        assert len(batch) - sum(map(len, shares)) < world


def test_batches_too_small_to_share_are_left_out_on_every_rank():
    assert [epoch(3, 2, 4, rank, seed=0, epoch=0) for rank in range(4)] == [[]] * 4


def test_an_item_that_occurs_twice_is_held_once(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    index = np.array([5, 0, 17, 5, 40])
    rows, positives = dataset.train.query_rows[index], dataset.train.item_rows[index]
    negatives = np.array([positives[0], 14, 14, 2])
    batch = assemble(dataset, index, negatives, in_batch=False, log_q=log_q)
    assert batch.item_rows.tolist() == sorted({*positives.tolist(), 14, 2})
    assert batch.items.rows.tolist() == batch.item_keys.tolist() == batch.item_rows.tolist()
    assert batch.item_rows[batch.positive].tolist() == positives.tolist()
    assert batch.queries.rows.tolist() == rows.tolist()
    assert batch.drawn.tolist() == [row in negatives for row in batch.item_rows.tolist()]
    np.testing.assert_allclose(batch.log_q, np.log1p(batch.item_rows.numpy()))
    assert batch.weight.tolist() == dataset.train.weights[index].tolist()
    known = {(number, item) for number, query in enumerate(rows) for item in dataset.known.row(query).tolist()}
    assert {tuple(pair) for pair in batch.known.tolist()} == known
    assert len(batch.known) == len(known)


def test_other_positives_are_negatives_in_batch(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    batch = assemble(dataset, np.arange(8), None, in_batch=True, log_q=log_q)
    assert batch.drawn.all()
    assert set(batch.item_rows.tolist()) == set(dataset.train.item_rows[:8].tolist())
    assert not assemble(dataset, np.arange(8), None, in_batch=False, log_q=log_q).drawn.any()


def test_with_statistics_an_item_is_held_once_a_moment(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM))
    index, negatives = np.arange(30), np.array([3, 3, 3, 4])
    batch = assemble(dataset, index, negatives, in_batch=False, log_q=log_q)
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


def test_the_whole_catalogue_as_candidates(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    batch = assemble(dataset, np.arange(4), np.arange(15), in_batch=False, log_q=lambda rows: np.zeros(len(rows), np.float32))
    assert batch.item_rows.tolist() == list(range(15))
    assert batch.drawn.all()


def test_features_are_those_of_the_examples(random_tables, prepared):
    dataset = prepared(random_tables(RANDOM, statistics=()))
    index = np.array([9, 3])
    batch, queries = assemble(dataset, index, None, True, log_q), dataset.queries("train", index)
    assert batch.queries.values["id"].tolist() == queries.values["id"].tolist()
    assert batch.queries.values["history"].positions.mask.tolist() == queries.values["history"].positions.mask.tolist()
