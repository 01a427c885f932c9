from __future__ import annotations

import torch

from tt_hydra.contracts import Batch, Features
from tt_hydra.train.targets import known_mask, targets_of


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
        drawn=torch.tensor(drawn),
        log_q=torch.zeros(items),
        weight=torch.ones(len(positive)),
    )


def test_known_positives_are_excluded_by_catalogue_row_and_the_own_positive_is_not() -> None:
    # Query 0: positive row 7 (column 0), also knows row 9 (columns 1 and 3). Query 1: positive row 9 (column 1).
    targets = targets_of(batch([0, 1], [7, 9, 4, 9], [(0, 7), (0, 9), (1, 9)], [True] * 4))
    assert targets.excluded.tolist() == [[False, True, False, True], [False, False, False, True]]


def test_a_candidate_that_was_not_drawn_is_no_negative_of_others() -> None:
    targets = targets_of(batch([0, 1], [7, 9, 4], [(0, 7), (1, 9)], [False, False, True]))
    assert targets.excluded.tolist() == [[False, True, False], [True, False, False]]


def test_known_mask_equals_a_brute_force_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 30, (40,), generator=generator)
    known = torch.stack([torch.randint(0, 8, (60,), generator=generator), torch.randint(0, 35, (60,), generator=generator)], dim=1)
    expected = [[any(q == query and row == item for q, row in known.tolist()) for item in rows.tolist()] for query in range(8)]
    assert known_mask(known, rows, 8).tolist() == expected


def test_a_batch_without_known_positives_excludes_nothing() -> None:
    assert not targets_of(batch([0], [3, 5], [], [True, True])).excluded.any()
