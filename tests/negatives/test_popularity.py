from __future__ import annotations

import itertools

import numpy as np
import pytest
from training_views import request_of, view_of

from tt_hydra.errors import ConfigError
from tt_hydra.negatives.popularity import Popularity


def pairs_one_after_the_other(probability: list[float]) -> dict[frozenset[int], float]:
    """How likely two draws without replacement give each pair of items."""
    chance: dict[frozenset[int], float] = {}
    for first, second in itertools.permutations(range(len(probability)), 2):
        pair = frozenset((first, second))
        chance[pair] = chance.get(pair, 0.0) + probability[first] * probability[second] / (1 - probability[first])
    return chance


@pytest.mark.parametrize("tail", [1, 8])
def test_pairs_are_drawn_one_after_the_other(tail: int) -> None:
    """By the race where two are much of the catalogue, by dropping repeats where they are little of it."""
    counts = np.array([5, 3, *([1] * tail)], np.float32)
    fitted, generator, times = Popularity(num_negatives=2, alpha=1.0).fit(view_of(counts)), np.random.default_rng(0), 20_000
    seen: dict[frozenset[int], int] = {}
    for _ in range(times):
        pair = frozenset(fitted.draw(request_of([0]), generator).rows.tolist())
        seen[pair] = seen.get(pair, 0) + 1
    for pair, chance in pairs_one_after_the_other((counts / counts.sum()).tolist()).items():
        assert seen.get(pair, 0) / times == pytest.approx(chance, abs=4 * np.sqrt(chance / times))


def test_one_item_with_nearly_all_the_mass_does_not_stall_it() -> None:
    counts = np.ones(100, np.float32)
    counts[7] = 1e12
    rows = Popularity(num_negatives=20, alpha=1.0).fit(view_of(counts)).draw(request_of([0]), np.random.default_rng(0)).rows
    assert len(set(rows.tolist())) == 20
    assert 7 in rows


def test_alpha_zero_is_uniform() -> None:
    sampler = Popularity(num_negatives=2, alpha=0.0, never_taken=True)
    presence = sampler.fit(view_of([900, 30, 1, 0])).log_presence(np.arange(4), 7)
    assert presence == pytest.approx([np.log(2 / 4)] * 4)


@pytest.mark.parametrize(("never_taken", "shares"), [(False, [0, 0.6, 0.3, 0, 0.1]), (True, np.array([0.5, 6, 3, 0.5, 1]) / 11)])
def test_one_draw_follows_the_counts(never_taken: bool, shares: list[float]) -> None:
    """Counts of 6, 3 and 1: tenths. With all items, one that nobody took counts as half of the rarest: 6, 3, 1, .5 and .5 of 11."""
    fitted = Popularity(num_negatives=1, alpha=1.0, never_taken=never_taken).fit(view_of([0, 6, 3, 0, 1]))
    generator, times = np.random.default_rng(0), 4000
    drawn = np.concatenate([fitted.draw(request_of([1]), generator).rows for _ in range(times)])
    assert np.bincount(drawn, minlength=5) / times == pytest.approx(shares, abs=0.03)


def test_what_nobody_took_is_as_if_it_were_not_there() -> None:
    presence = Popularity(num_negatives=2).fit(view_of([0, 6, 3, 0, 1])).log_presence(np.arange(5), 7)
    alone = Popularity(num_negatives=2).fit(view_of([6, 3, 1])).log_presence(np.arange(3), 7)
    assert presence.tolist() == [-np.inf, alone[0], alone[1], -np.inf, alone[2]]


def test_presence_follows_the_power_of_the_counts_where_few_are_drawn() -> None:
    counts = np.arange(1, 20_001, dtype=np.float32)
    presence = Popularity(num_negatives=8, alpha=0.75).fit(view_of(counts)).log_presence(np.array([0, 9, 9999]), 7)
    np.testing.assert_allclose(np.diff(presence), 0.75 * np.log([10, 1000]), atol=1e-3)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_alpha_is_checked(alpha: float) -> None:
    with pytest.raises(ConfigError, match=r"negatives\.alpha"):
        Popularity(alpha=alpha)
