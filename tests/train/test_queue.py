"""Vectors of earlier steps as negatives: which are kept, in which version, and how likely each is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tt_hydra.contracts import Batch, Features, Origin, OwnNegatives
from tt_hydra.negatives.queue import Queue
from tt_hydra.train.fit import TrainingSummary
from tt_hydra.train.queue import VectorQueue
from tt_hydra.train.targets import targets_of

SHARE = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
DIM = 2


def batch(positives: list[int], kept: int, known: list[tuple[int, int]] | None = None) -> Batch:
    """The positives of a step, after ``kept`` positives that the queue still holds; items stand in ascending order."""
    rows, positive = torch.unique(torch.tensor(positives), return_inverse=True)
    return Batch(
        queries=Features(len(positives), {}),
        items=Features(len(rows), {}),
        item_rows=rows,
        item_keys=rows,
        positive=positive,
        known=torch.tensor(known or [], dtype=torch.int64).reshape(-1, 2),
        origin=torch.full_like(rows, int(Origin.IN_BATCH)),
        log_q=presence(rows, len(positives) + kept),
        own=OwnNegatives.none(),
        weight=torch.ones(len(positives)),
        teacher=torch.full((len(positives),), torch.nan),
    )


def presence(rows: Tensor, draws: int) -> Tensor:
    return torch.log(1 - (1 - SHARE[rows]) ** draws)


def vectors(step: Batch, number: int) -> Tensor:
    """Vectors that tell their row and the step in which they were made."""
    return torch.stack([step.item_rows.float(), torch.full((len(step.item_rows),), float(number))], dim=1).requires_grad_()


def run(queue: VectorQueue, *steps: list[int]) -> tuple[Tensor, Batch]:
    """Pushes all steps but the last, and extends that one."""
    kept = 0
    for number, positives in enumerate(steps):
        step = batch(positives, kept)
        if number == len(steps) - 1:
            return queue.extend(vectors(step, number), step)
        queue.push(vectors(step, number), step)
        kept = min(len(queue.rows), kept + len(positives))
    raise AssertionError


def test_nothing_is_kept_before_the_first_step() -> None:
    items, extended = run(VectorQueue(4, DIM), [3, 1])
    assert items.tolist() == [[1, 0], [3, 0]]
    assert extended.item_rows.tolist() == [1, 3]


def test_each_kept_item_comes_once_in_its_newest_version_and_never_beside_a_fresh_one() -> None:
    items, extended = run(VectorQueue(10, DIM), [0, 1, 1], [1, 2, 0], [2, 3, 0])
    assert extended.item_rows.tolist() == [0, 2, 3, 1]
    assert items.tolist() == [[0, 2], [2, 2], [3, 2], [1, 1]]
    assert extended.origin.tolist() == [int(Origin.IN_BATCH)] * 3 + [int(Origin.QUEUE)]


def test_the_oldest_leave_first() -> None:
    _, extended = run(VectorQueue(4, DIM), [0, 1, 2], [3, 4, 3], [5])
    assert sorted(extended.item_rows.tolist()) == [2, 3, 4, 5], "one of the first step and all of the second are kept"
    _, extended = run(VectorQueue(2, DIM), [0, 1, 2, 3, 4], [5])
    assert sorted(extended.item_rows.tolist()) == [3, 4, 5], "a step larger than the queue leaves its last ones"


def test_presence_is_that_of_the_batch_and_of_all_that_is_kept() -> None:
    _, extended = run(VectorQueue(4, DIM), [0, 1, 2], [3, 4, 3], [5, 5])
    torch.testing.assert_close(extended.log_q, presence(extended.item_rows, 2 + 4))


def test_a_known_positive_is_no_negative_though_the_queue_holds_it() -> None:
    queue = VectorQueue(4, DIM)
    first = batch([0, 1], 0)
    queue.push(vectors(first, 0), first)
    _, extended = queue.extend(torch.zeros(2, DIM), batch([2, 3], 2, known=[(0, 2), (0, 1), (1, 3)]))
    excluded = targets_of(extended).excluded(slice(0, 2))
    rows = extended.item_rows.tolist()
    assert [[rows[column] for column in row.nonzero().flatten()] for row in excluded] == [[1], []]


def test_no_gradient_reaches_the_past() -> None:
    queue = VectorQueue(4, DIM)
    step = batch([0, 1], 0)
    old = vectors(step, 0)
    queue.push(old, step)
    items, _ = queue.extend(vectors(batch([2], 2), 1), batch([2], 2))
    items.sum().backward()
    assert old.grad is None


def test_a_guide_s_vectors_are_kept_along() -> None:
    queue = VectorQueue(4, DIM, guide_width=3)

    def guided(positives: list[int], kept: int) -> Batch:
        step = batch(positives, kept)
        return replace(step, guide=(torch.zeros(len(positives), 3), step.item_rows[:, None].expand(-1, 3).float()))

    queue.push(torch.zeros(2, DIM), guided([1, 4], 0))
    _, extended = queue.extend(torch.zeros(1, DIM), guided([2], 2))
    assert extended.guide is not None
    assert extended.guide[1][:, 0].tolist() == extended.item_rows.tolist()


@pytest.mark.parametrize("prefetch", [False, True])
def test_a_training_with_a_queue_has_more_negatives(train: Callable[..., Path], prefetch: bool) -> None:
    plain, queued = (TrainingSummary.load(train(negatives=negatives, prefetch=prefetch)).curves for negatives in (None, Queue(memory=200)))
    assert all(more["effective_negatives"] > few["effective_negatives"] for more, few in zip(queued, plain, strict=True))
    assert np.isfinite([point["loss"] for point in queued]).all()
