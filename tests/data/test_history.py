from __future__ import annotations

import itertools

import numpy as np

from tt_hydra.data.history import Others, Timeline, flat_histories


def timeline(visible):
    return Timeline.build(np.array([7, 8, 9, 7, 5]), np.array(visible), np.array([0, 3, 3, 5]))


def items_of(timeline, starts, lengths):
    return [timeline.items[start : start + length].tolist() for start, length in zip(starts, lengths, strict=True)]


def test_an_example_sees_its_querys_earlier_events_newest_last():
    every = timeline([True] * 5)
    queries, positions = np.array([0, 0, 0, 2, 2]), np.arange(5)
    assert items_of(every, *every.before(queries, positions, 10)) == [[], [7], [7, 8], [], [7]]
    assert items_of(every, *every.before(queries, positions, 1)) == [[], [7], [8], [], [7]]


def test_events_of_other_parts_are_not_in_reach():
    some = timeline([True, False, True, False, True])
    assert items_of(some, *some.before(np.array([0, 2]), np.array([2, 4]), 10)) == [[7], []]
    assert items_of(some, *some.latest(np.array([0, 1, 2]), 10)) == [[7, 9], [], [5]]


def test_it_comes_back_as_it_was_saved(tmp_path):
    some = timeline([True, False, True, False, True])
    some.save(tmp_path / "t")
    loaded = Timeline.load(tmp_path / "t")
    assert [getattr(loaded, name).tolist() for name in ("items", "positions", "offsets")] == [[7, 9, 5], [0, 2, 4], [0, 2, 2, 3]]


def test_given_histories_lose_unknown_items_and_keep_the_newest():
    items, starts, lengths = flat_histories(np.array([4, -1, 5, 6, -1]), np.array([4, 0, 1]), 2)
    assert [items[start : start + length].tolist() for start, length in zip(starts, lengths, strict=True)] == [[5, 6], [], []]


EVENTS = {"items": np.array([7, 8, 9, 7, 5, 6]), "offsets": np.array([0, 4, 4, 6])}


def as_sets(some):
    return [sorted(some.items[start:stop].tolist()) for start, stop in itertools.pairwise(some.offsets)]


def test_without_order_each_item_of_a_query_stands_once():
    some = Timeline.unordered(**EVENTS, visible=np.array([True, True, False, True, True, True]), seed=0)
    assert as_sets(some) == [[7, 8], [], [5, 6]]
    assert EVENTS["items"][some.positions].tolist() == some.items.tolist()


def test_without_order_the_row_of_an_item_does_not_say_where_it_stands():
    items, visible, offsets = np.arange(1000), np.ones(1000, np.bool_), np.array([0, 1000])
    some, again, other = (Timeline.unordered(items, visible, offsets, seed) for seed in (0, 0, 1))
    assert np.array_equal(some.items, again.items)
    assert not np.array_equal(some.items, other.items)
    assert abs(np.corrcoef(some.items, np.arange(1000))[0, 1]) < 0.2


def test_the_others_are_all_items_of_the_query_but_the_target(tmp_path):
    rng = np.random.default_rng(3)
    queries = np.sort(rng.integers(0, 12, 80))
    items, offsets = rng.integers(0, 9, 80), np.searchsorted(queries, np.arange(13))
    some = Timeline.unordered(items, np.ones(80, np.bool_), offsets, seed=1)
    Others.build(some, queries, items).save(tmp_path / "others")
    others = Others.load(tmp_path / "others")
    for most in (100, 3):
        starts, lengths = others.of(np.arange(80), most)
        for query, target, start, length in zip(queries, items, starts, lengths, strict=True):
            expected = set(items[queries == query].tolist()) - {target}
            found = others.items[start : start + length].tolist()
            assert len(found) == min(most, len(expected))
            assert len(set(found)) == len(found)
            assert set(found) <= expected


def test_what_is_cut_off_the_others_does_not_depend_on_the_target():
    size, most = 400, 20
    items, queries = np.arange(size), np.zeros(size, np.int64)
    some = Timeline.unordered(items, np.ones(size, np.bool_), np.array([0, size]), seed=0)
    others = Others.build(some, queries, items)
    starts, lengths = others.of(np.arange(size), most)
    near = [
        np.abs(others.items[start : start + length] - target).min() for target, start, length in zip(items, starts, lengths, strict=True)
    ]
    assert np.mean(near) > 4  # of 20 drawn at random from 400 the nearest is 10 away on average; neighbours in row order would be at 1
