from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tt_hydra.contracts import Batch, Features, Origin, OwnNegatives
from tt_hydra.train.targets import known_columns, targets_of


def batch(positive: list[int], item_rows: list[int], known: list[tuple[int, int]], drawn: list[bool]) -> Batch:
    features = Features(0, {})
    items = len(item_rows)
    return Batch(
        queries=features,
        items=features,
        item_rows=torch.tensor(item_rows),
        item_keys=torch.arange(items),
        positive=torch.tensor(positive),
        known=torch.tensor(known, dtype=torch.int64).reshape(-1, 2),
        origin=torch.tensor(drawn) * int(Origin.UNIFORM),
        log_q=torch.zeros(items),
        own=OwnNegatives.none(),
        weight=torch.ones(len(positive)),
        teacher=torch.full((len(positive),), torch.nan),
    )


def test_known_positives_are_excluded_by_catalogue_row_and_the_own_positive_is_not() -> None:
    # Query 0: positive row 7 (column 0), also knows row 9 (columns 1 and 3). Query 1: positive row 9 (column 1).
    targets = targets_of(batch([0, 1], [7, 9, 4, 9], [(0, 7), (0, 9), (1, 9)], [True] * 4))
    assert targets.excluded(slice(0, 2)).tolist() == [[False, True, False, True], [False, False, False, True]]


def test_a_candidate_that_was_not_drawn_is_no_negative_of_others() -> None:
    targets = targets_of(batch([0, 1], [7, 9, 4], [(0, 7), (1, 9)], [False, False, True]))
    assert targets.excluded(slice(0, 2)).tolist() == [[False, True, False], [True, False, False]]


def test_known_columns_equal_a_brute_force_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 30, (40,), generator=generator)
    query = torch.randint(0, 8, (60,), generator=generator).sort().values
    known = torch.stack([query, torch.randint(0, 35, (60,), generator=generator)], dim=1)
    expected = sorted([query, column] for query, row in known.tolist() for column, item in enumerate(rows.tolist()) if row == item)
    found = known_columns(known, rows)
    assert sorted(found.tolist()) == expected
    assert found[:, 0].tolist() == sorted(found[:, 0].tolist())


def test_an_item_at_several_moments_counts_once() -> None:
    """Row 9 stands in columns 1 and 3: its probability is shared by both, but whole where it is a positive."""
    targets = targets_of(replace(batch([0, 1], [7, 9, 4, 9], [], [True] * 4), log_q=torch.tensor([-1.0, -2.0, -3.0, -2.0])))
    negatives, positives = targets.offset(slice(0, 2))
    assert (-negatives).exp().tolist() == pytest.approx([math.e, math.e**2 / 2, math.e**3, math.e**2 / 2])
    assert positives.tolist() == [-1.0, -2.0]


def test_a_batch_without_known_positives_excludes_nothing() -> None:
    assert not targets_of(batch([0], [3, 5], [], [True, True])).excluded(slice(0, 1)).any()
