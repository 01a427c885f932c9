from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from tt_hydra.negatives.choice import without_replacement


def test_every_set_is_equally_likely() -> None:
    generator, times = np.random.default_rng(0), 6000
    row, number = without_replacement(np.full(times, 5), np.full(times, 3), generator)
    assert row.tolist() == np.repeat(np.arange(times), 3).tolist()
    seen = Counter(frozenset(three) for three in number.reshape(times, 3).tolist())
    assert set(seen) == {frozenset(three) for three in itertools.combinations(range(5), 3)}
    assert [count / times for count in seen.values()] == pytest.approx([0.1] * 10, abs=0.016)


def test_rows_of_unequal_widths_and_counts() -> None:
    widths, counts = np.array([4, 0, 1, 7, 3, 100]), np.array([2, 3, 5, 0, 3, 1])
    for seed in range(20):
        row, number = without_replacement(widths, counts, np.random.default_rng(seed))
        assert np.bincount(row, minlength=6).tolist() == [2, 0, 1, 0, 3, 1]
        assert (np.diff(row) >= 0).all()
        assert ((number >= 0) & (number < widths[row])).all()
        assert len(set(zip(row.tolist(), number.tolist(), strict=True))) == len(row)


def test_no_rows() -> None:
    row, number = without_replacement(np.empty(0, np.int64), np.empty(0, np.int64), np.random.default_rng(0))
    assert row.shape == number.shape == (0,)
