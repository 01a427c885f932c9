from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tt_hydra.contracts import Targets
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.negatives.popularity import FittedPopularity, Popularity

CATALOGUE, DIM, DRAWS = 40, 4, 12


def test_value_on_two_queries_and_three_items() -> None:
    """Scores / 0.5 are (2, 0, 2) and (0, 2, 2); log q of (1/2, 1/4, 1/8) adds (log 2, log 4, log 8)."""
    queries, items = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    log_q = torch.log(torch.tensor([1 / 2, 1 / 4, 1 / 8]))
    targets = Targets(torch.tensor([0, 1]), torch.zeros(2, 3, dtype=torch.bool), log_q, torch.ones(2))
    e2 = math.e**2
    first = math.log(2 * e2 + 4 + 8 * e2) - math.log(2 * e2)
    second = math.log(2 + 4 * e2 + 8 * e2) - math.log(4 * e2)
    loss = SampledSoftmax()(queries, items, targets, torch.tensor(0.5)).loss
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_a_constant_probability_changes_nothing() -> None:
    queries, items = torch.randn(3, 2), torch.randn(5, 2)
    targets = Targets(torch.arange(3), torch.zeros(3, 5, dtype=torch.bool), torch.full((5,), -7.0), torch.ones(3))
    tau = torch.tensor(0.5)
    torch.testing.assert_close(SampledSoftmax()(queries, items, targets, tau).loss, InfoNCE()(queries, items, targets, tau).loss)


def query_gradient(loss: SampledSoftmax | InfoNCE, query: Tensor, items: Tensor, log_q: Tensor) -> Tensor:
    """The gradient by one query whose positive is the first of the items."""
    query = query.clone().requires_grad_()
    targets = Targets(torch.zeros(1, dtype=torch.int64), torch.zeros(1, len(items), dtype=torch.bool), log_q, torch.ones(1))
    return torch.autograd.grad(loss(query, items, targets, torch.tensor(1.0)).loss, query)[0]


def expected_gradient(loss: SampledSoftmax | InfoNCE, query: Tensor, items: Tensor, sampler: FittedPopularity, positive: int) -> Tensor:
    """The mean over many samples of negatives."""
    generator, total, times = np.random.default_rng(5), torch.zeros(1, DIM), 800
    for _ in range(times):
        drawn = sampler.draw(np.array([positive]), None, generator)
        rows = np.concatenate([[positive], drawn[drawn != positive]])
        total += query_gradient(loss, query, items[rows], torch.from_numpy(sampler.log_q(rows)))
    return total / times


def test_correction_recovers_the_softmax_over_the_catalogue() -> None:
    """Popular items point away from the rest: only with the correction does the expected gradient point where the exact one does."""
    generator = torch.Generator().manual_seed(2)
    items, query = torch.randn(CATALOGUE, DIM, generator=generator), torch.randn(1, DIM, generator=generator)
    items[:5] += 1.5
    counts = np.ones(CATALOGUE, np.float32)
    counts[:5] = 60
    sampler = Popularity(num_negatives=DRAWS, alpha=1.0).fit(counts)
    positive = 20
    order = torch.tensor([positive, *(row for row in range(CATALOGUE) if row != positive)])
    exact = query_gradient(InfoNCE(), query, items[order], torch.zeros(CATALOGUE))
    corrected = expected_gradient(SampledSoftmax(), query, items, sampler, positive)
    plain = expected_gradient(InfoNCE(), query, items, sampler, positive)
    error, plain_error = ((estimate - exact).norm() / exact.norm() for estimate in (corrected, plain))
    assert error < 0.1
    assert plain_error > 3 * error
