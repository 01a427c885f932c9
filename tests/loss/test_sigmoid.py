from __future__ import annotations

import math

import pytest
import torch
from loss_cases import dense, errors_against, open_targets
from torch import Tensor
from torch.nn.functional import logsigmoid

from tt_hydra.loss.sigmoid import Sigmoid


def test_value_on_one_query() -> None:
    """Scores / 0.5 - 1 are 1 for the positive, -1 and 3 for the negatives."""
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    output = Sigmoid(bias=-1.0).build()(torch.tensor([[1.0, 0.0]]), items, open_targets(torch.tensor([0]), 3), torch.tensor(0.5))
    expected = math.log1p(math.exp(-1)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(3))
    assert output.loss.item() == pytest.approx(expected, rel=1e-6)


def plain(scores: Tensor, positive: Tensor, negative: Tensor, offset: Tensor) -> Tensor:
    return -logsigmoid(positive - 3.0) - (logsigmoid(3.0 - scores) * negative).sum(1)


def test_tiles_equal_the_dense_matrix() -> None:
    assert max(errors_against(Sigmoid(bias=-3.0), lambda *inputs: dense(plain, *inputs))) < 1e-5


def test_the_bias_is_learned() -> None:
    loss = Sigmoid(bias=-1.0).build().double()
    assert [name for name, _ in loss.named_parameters()] == ["bias"]
    queries, items = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    targets = open_targets(torch.arange(4), 6)

    def value(bias: Tensor) -> Tensor:
        output = torch.func.functional_call(loss, {"bias": bias}, (queries, items, targets, torch.tensor(0.5, dtype=torch.float64)))
        return output.loss

    assert torch.autograd.gradcheck(value, torch.tensor(-1.0, dtype=torch.float64, requires_grad=True))


def test_a_fixed_bias_is_no_parameter() -> None:
    loss = Sigmoid(bias=-2.0, learn_bias=False).build()
    assert list(loss.parameters()) == []
    assert loss.state_dict()["bias"].item() == -2.0
