from __future__ import annotations

import numpy as np

from tt_hydra.data.history import Timeline, flat_histories


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
