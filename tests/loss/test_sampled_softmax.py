from __future__ import annotations

import math

import pytest
import torch
from loss_cases import errors_against, negatives_of, open_targets
from torch import Tensor

from tt_hydra.contracts import Targets
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.sampled_softmax import SampledSoftmax

CATALOGUE, DIM = 40, 4


def test_value_on_two_queries_and_three_items() -> None:
    """Scores / 0.5 are (2, 0, 2) and (0, 2, 2); log q of (1/2, 1/4, 1/8) adds (log 2, log 4, log 8)."""
    queries, items = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    log_q = torch.log(torch.tensor([1 / 2, 1 / 4, 1 / 8]))
    targets = open_targets(torch.tensor([0, 1]), 3, log_q=log_q)
    e2 = math.e**2
    first = math.log(2 * e2 + 4 + 8 * e2) - math.log(2 * e2)
    second = math.log(2 + 4 * e2 + 8 * e2) - math.log(4 * e2)
    loss = SampledSoftmax()(queries, items, targets, torch.tensor(0.5)).loss
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_constant_probability_changes_nothing() -> None:
    queries, items = torch.randn(3, 2), torch.randn(5, 2)
    targets = open_targets(torch.arange(3), 5, log_q=torch.full((5,), -7.0))
    tau = torch.tensor(0.5)
    torch.testing.assert_close(SampledSoftmax()(queries, items, targets, tau).loss, InfoNCE()(queries, items, targets, tau).loss)


def query_gradient(loss: SampledSoftmax | InfoNCE, query: Tensor, items: Tensor, log_q: Tensor) -> Tensor:
    """The gradient by one query whose positive is the first of the items."""
    query = query.clone().requires_grad_()
    targets = open_targets(torch.zeros(1, dtype=torch.int64), len(items), log_q=log_q)
    return torch.autograd.grad(loss(query, items, targets, torch.tensor(1.0)).loss, query)[0]


@pytest.fixture(scope="module")
def catalogue() -> tuple[Tensor, Tensor, Tensor]:
    """A query, items of which the popular ones point away from the rest, and how probably each is drawn; item 0 is the positive."""
    generator = torch.Generator().manual_seed(2)
    items, query = torch.randn(CATALOGUE, DIM, generator=generator), torch.randn(1, DIM, generator=generator)
    items[0] = 1.5 * query
    items[1:6] += 1.5
    presence = torch.full((CATALOGUE,), 0.2)
    presence[1:6] = 0.9
    return query, items, presence


def expected_gradient(loss: SampledSoftmax | InfoNCE, case: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The mean over many samples in which each item occurs independently with its probability, but the positive always."""
    query, items, presence = case
    generator, total, times = torch.Generator().manual_seed(5), torch.zeros(1, DIM), 500
    for _ in range(times):
        drawn = torch.rand(CATALOGUE, generator=generator) < presence
        drawn[0] = True
        total += query_gradient(loss, query, items[drawn], presence[drawn].log())
    return total / times


def test_correction_recovers_the_softmax_over_the_catalogue(catalogue: tuple[Tensor, Tensor, Tensor]) -> None:
    """Only with the correction does the expected gradient point where the exact one does, most of all where the positive is left out."""
    query, items, _ = catalogue
    exact = query_gradient(InfoNCE(), query, items, torch.zeros(CATALOGUE))
    losses = (SampledSoftmax(positive="left_out"), SampledSoftmax(), InfoNCE())
    left_out, corrected, plain = ((expected_gradient(loss, catalogue) - exact).norm() / exact.norm() for loss in losses)
    assert left_out < 0.1
    assert left_out < corrected / 2
    assert plain > 3 * left_out


def test_positive_left_out_has_the_gradient_of_the_paper() -> None:
    """``-(1 - p) (s - log sum over negatives of exp(s_j - log q_j))`` with ``p`` held, written down densely."""
    generator = torch.Generator().manual_seed(4)
    queries, items = (torch.randn(size, DIM, generator=generator, dtype=torch.float64).requires_grad_() for size in (5, 9))
    log_q = -torch.rand(9, generator=generator) * 4
    targets = open_targets(torch.tensor([0, 3, 3, 8, 1]), 9, log_q=log_q)
    scores = queries @ items.T / 0.6
    own = targets.positive[:, None]
    rest = (scores - log_q).scatter(1, own, -torch.inf).logsumexp(1)
    positive = scores.gather(1, own).squeeze(1)
    weight = 1 - torch.exp(positive) / (torch.exp(positive) + torch.exp(rest))
    paper = (-weight.detach() * (positive - rest)).mean()
    ours = SampledSoftmax(positive="left_out")(queries, items, targets, torch.tensor(0.6, dtype=torch.float64)).loss
    for mine, theirs in zip(torch.autograd.grad(ours, (queries, items)), torch.autograd.grad(paper, (queries, items)), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("positive", ["corrected", "left_out"])
def test_tiles_equal_the_dense_matrix(positive: str) -> None:
    def whole(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
        scores, negative = queries @ items.T / temperature, negatives_of(targets)
        offset = targets.log_q.double()
        corrected, column = (scores - offset).masked_fill(~negative, -torch.inf), targets.positive[:, None]
        own = (scores if positive == "left_out" else scores - offset).gather(1, column).squeeze(1)
        weight = targets.weight.double() * negative.any(1)
        return (weight * (corrected.logsumexp(1).logaddexp(own) - own)).sum() / weight.sum()

    assert max(errors_against(SampledSoftmax(positive=positive), whole)) < 1e-5


def test_the_positives_probability_does_not_matter_where_it_is_left_out() -> None:
    queries, items, log_q = torch.eye(2), torch.randn(3, 2), torch.tensor([-1.0, -2.0, -3.0])
    losses = [
        SampledSoftmax(positive="left_out")(queries[:1], items, open_targets(torch.tensor([0]), 3, log_q=changed), torch.tensor(1.0)).loss
        for changed in (log_q, log_q + torch.tensor([5.0, 0.0, 0.0]))
    ]
    assert losses[0] == losses[1]
