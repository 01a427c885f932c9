from __future__ import annotations

import math

import pytest
import torch
from loss_cases import dense, errors_against, targets_of
from torch import Tensor
from torch.nn.functional import logsigmoid

from tt_hydra.loss.bpr import Bpr


def test_value_on_two_queries() -> None:
    """Query 0: positive 1 against 0 and 2; query 1: positive 1 against 0 alone, as item 2 is excluded."""
    queries, items = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    targets = targets_of(torch.tensor([0, 1]), torch.tensor([[False, False, False], [False, False, True]]))
    first = (math.log1p(math.exp(-1)) + math.log1p(math.exp(1))) / 2
    second = math.log1p(math.exp(-1))
    assert Bpr()(queries, items, targets, torch.tensor(1.0)).loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def plain(scores: Tensor, positive: Tensor, negative: Tensor, offset: Tensor) -> Tensor:
    return -(logsigmoid(positive[:, None] - scores) * negative).sum(1) / negative.sum(1)


def test_tiles_equal_the_dense_matrix() -> None:
    assert max(errors_against(Bpr(), lambda *inputs: dense(plain, *inputs))) < 1e-5
