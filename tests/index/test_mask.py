from __future__ import annotations

import gc
import weakref

import numpy as np
from vector_cases import SIZE, catalogue, questions

from tt_hydra.index.build import build_index
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.live import LiveIndex
from tt_hydra.index.mask import Mask, Seen, mask_of
from tt_hydra.quantization.none import NoQuantization


def read_only(*allowed: bool) -> np.ndarray:
    array = np.array(allowed)
    array.flags.writeable = False
    return array


def test_a_mask_of_all_rows_is_none() -> None:
    assert mask_of(np.array([True, True])) is None
    mask = mask_of(np.array([True, False, True, False]))
    assert isinstance(mask, Mask)
    assert (mask.count, mask.share, mask.rows.tolist()) == (2, 0.5, [0, 2])
    assert mask.per_list(np.array([1, 1, 2, 0]), 4).tolist() == [0, 1, 1, 0]


def test_what_cannot_change_is_looked_at_once_and_what_can_each_time() -> None:
    looked: list[list[bool]] = []
    seen = Seen(lambda allowed: looked.append(allowed.tolist()) or len(looked))
    fixed, other, open_ = read_only(True, False), read_only(False, True), np.array([True, True])
    assert [seen.of(fixed), seen.of(other), seen.of(fixed), seen.of(other)] == [1, 2, 1, 2]
    assert [seen.of(open_), seen.of(open_)] == [3, 4]


def test_nothing_is_kept_of_arrays_that_are_gone() -> None:
    seen = Seen(mask_of)
    array = read_only(True, False)
    made = weakref.ref(seen.of(array))
    del array
    for _ in range(3):
        another = read_only(True, False)
        assert seen.of(another).allowed.tolist() == [True, False]
        del another
    gc.disable()
    try:
        assert made() is None
    finally:
        gc.enable()


def test_searches_keep_no_filter_and_no_snapshot_that_is_gone(monkeypatch) -> None:
    monkeypatch.setattr("tt_hydra.index.live.FEW", 0)
    items, asked = catalogue(), questions()
    index = LiveIndex(build_index(Hnsw(M=16, efConstruction=60), NoQuantization(), items, "dot"), items)
    kept = []
    for row in range(20):  # of the catalogue as it was built, then of one that changes
        if row >= 10:
            index.apply([row])
            kept.append(weakref.ref(index.snapshot.alive))
        allowed = np.arange(SIZE) != row
        allowed.flags.writeable = False
        kept.append(weakref.ref(allowed))
        index.snapshot.search(asked, 10)
        index.snapshot.search(asked, 10, allowed=allowed)
    del allowed
    gc.collect()
    assert sum(each() is not None for each in kept) == 1, "that of the last snapshot"


def test_a_filter_that_comes_again_follows_what_dies() -> None:
    """The same read-only filter over one snapshot after another, and two filters over one snapshot."""
    items, asked = catalogue(), questions()
    index = LiveIndex(build_index(Hnsw(M=16, efConstruction=60), NoQuantization(), items, "dot"), items)
    even, odd = (np.arange(SIZE) % 2 == rest for rest in (0, 1))
    for each in (even, odd):
        each.flags.writeable = False
    for _ in range(3):
        best = index.snapshot.search(asked, 1, allowed=even).rows[:, 0]
        assert (best % 2 == 0).all()
        index.apply(np.unique(best))
        for _ in range(2):
            for each, rest in ((even, 0), (odd, 1)):
                found = index.snapshot.search(asked, 10, allowed=each).rows
                assert (found % 2 == rest).all()
                assert not np.isin(found, best).any()
