from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from loss_cases import excluded_of, targets_of
from torch import Tensor

from tt_hydra.contracts import Targets
from tt_hydra.loss.softmax import softmax_loss
from tt_hydra.loss.tiles import tiles

TAU = 0.4


def by_autograd(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor, correct: bool) -> Tensor:
    """The same loss through PyTorch's own graph, row by row."""
    total, weights = queries.new_zeros(()), 0.0
    for row, positive in enumerate(targets.positive.tolist()):
        kept = (~excluded_of(targets)[row]).nonzero().squeeze(1)
        if len(kept) < 2:
            continue
        logits = items[kept] @ queries[row] / temperature
        if correct:
            logits = logits - targets.log_q[kept]
        label = (kept == positive).nonzero().squeeze(1)
        total = total + targets.weight[row] * torch.nn.functional.cross_entropy(logits[None], label)
        weights += targets.weight[row].item()
    return total / weights


def random_case(batch: int, items: int, dim: int = 6) -> tuple[Tensor, Tensor, Targets]:
    generator = torch.Generator().manual_seed(batch)
    queries, vectors = (torch.randn(size, dim, generator=generator).requires_grad_() for size in (batch, items))
    positive = torch.randint(0, items, (batch,), generator=generator)
    excluded = torch.rand(batch, items, generator=generator) < 0.6
    excluded[0] = True
    excluded[torch.arange(batch), positive] = False
    return queries, vectors, targets_of(positive, excluded, -torch.rand(items, generator=generator), torch.rand(batch, generator=generator))


def test_equals_cross_entropy_through_autograd() -> None:
    for batch, items in ((3, 4), (40, 17), (17, 40)):
        queries, vectors, targets = random_case(batch, items)
        for correct in (False, True):
            tau = torch.tensor(TAU, requires_grad=True)
            inputs = queries, vectors, tau
            expected = by_autograd(queries, vectors, targets, tau, correct)
            got = softmax_loss(queries, vectors, targets, tau, chunk_size=50, corrected="all" if correct else "none").loss
            torch.testing.assert_close(got, expected)
            for mine, theirs in zip(torch.autograd.grad(got, inputs), torch.autograd.grad(expected, inputs), strict=True):
                torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_mean_does_not_grow_with_the_batch() -> None:
    """The same rows twice against the same candidates: same loss, half the gradient for each copy."""
    queries, items, targets = random_case(10, 12)
    twice = targets_of(targets.positive.repeat(2), excluded_of(targets).repeat(2, 1), targets.log_q, targets.weight.repeat(2))
    tau = torch.tensor(TAU)
    once = softmax_loss(queries, items, targets, tau, chunk_size=100).loss
    double = softmax_loss(queries.repeat(2, 1), items, twice, tau, chunk_size=100).loss
    torch.testing.assert_close(double, once)
    by_item, by_item_double = (torch.autograd.grad(value, items)[0] for value in (once, double))
    torch.testing.assert_close(by_item_double, by_item)


def test_gradient_scales_with_what_comes_from_above() -> None:
    queries, items, targets = random_case(10, 12)
    loss = softmax_loss(queries, items, targets, torch.tensor(TAU), chunk_size=100).loss
    one = torch.autograd.grad(loss, queries, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(3 * loss, queries)[0], 3 * one)


def test_only_small_tensors_are_kept_for_backward() -> None:
    batch, items, dim = 64, 500, 4
    queries, vectors, targets = random_case(batch, items, dim)
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: (sizes.append(kept.numel()), kept)[1], lambda kept: kept):
        softmax_loss(queries, vectors, targets, torch.tensor(TAU), chunk_size=1000)
    assert max(sizes) == items * dim


def test_effective_number_of_negatives() -> None:
    """Equal similarities of four negatives count as four; where an excluded one is left out, as three; sampling does not matter."""
    queries, items = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 9.0], [1.0, 9.0], [1.0, 0.0]])
    both = targets_of(torch.tensor([0, 0]), torch.tensor([[False, True, False, False, False], [False] * 5]))
    high, low = 1 / (2 + 2 * math.exp(-9)), math.exp(-9) / (2 + 2 * math.exp(-9))
    second = math.exp(-2 * high * math.log(high) - 2 * low * math.log(low))
    for corrected in ("none", "all"):
        targets = dataclasses.replace(both, log_q=torch.tensor([0.0, -1.0, -2.0, -3.0, -4.0]))
        got = softmax_loss(queries, items, targets, torch.tensor(1.0), corrected=corrected).effective_negatives.item()
        assert got == pytest.approx((3 + second) / 2, abs=1e-5), corrected


def test_a_positive_that_is_several_candidates_counts_once_for_its_query() -> None:
    """Candidates 0 and 1 are one item at two moments, with probability 1/e: half of it each as negatives, the whole as a positive."""
    queries, items, log_q = torch.zeros(2, 2), torch.zeros(3, 2), torch.tensor([-1.0, -1.0, -2.0])
    copies = torch.tensor([2.0, 2.0, 1.0]).log()
    targets = Targets.plain(
        torch.tensor([0, 2]), 3, log_q=log_q + copies, positive_log_q=torch.tensor([-1.0, -2.0]), known=torch.tensor([[0, 0], [0, 1]])
    )
    expected = (math.log(math.e + math.e**2) - 1 + math.log(math.e**2 + 2 * math.e / 2) - 2) / 2
    assert softmax_loss(queries, items, targets, torch.tensor(1.0), corrected="all").loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "items", "chunk", "sizes"),
    [(200, 10, 1000, [100, 100]), (200, 10, 1, [64, 64, 64, 8]), (3, 10, 1, [3]), (0, 0, 1, [])],
)
def test_tiles_hold_about_as_many_scores_as_they_may(rows: int, items: int, chunk: int, sizes: list[int]) -> None:
    plan = tiles(rows, items, chunk)
    assert [part.stop - part.start for part in plan] == sizes
    assert [row for part in plan for row in range(rows)[part]] == list(range(rows))
