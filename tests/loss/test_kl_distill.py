from __future__ import annotations

import math

import pytest
import torch
from loss_cases import errors_against, excluded_of
from torch import Tensor

from tt_hydra.contracts import OwnNegatives, Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.kl_distill import KLDistill


def one_query(teacher: float, negative: float) -> Targets:
    own = OwnNegatives(torch.tensor([0]), torch.tensor([1]), torch.tensor([negative]))
    return Targets.plain(torch.tensor([0]), 2, own=own, teacher=torch.tensor([teacher]))


def test_value_on_one_query() -> None:
    """The student sees 2 and 0, the teacher 3 / 2 and 1 / 2."""
    loss = KLDistill(teacher_temperature=2.0)(torch.tensor([[1.0, 0.0]]), torch.eye(2), one_query(3.0, 1.0), torch.tensor(0.5)).loss
    theirs, ours = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    expected = theirs * math.log(theirs / ours) + (1 - theirs) * math.log((1 - theirs) / (1 - ours))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_has_nothing_to_learn() -> None:
    queries = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = KLDistill()(queries, torch.eye(2), one_query(9.0, 7.0), torch.tensor(0.5)).loss
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.autograd.grad(loss, queries)[0].abs().max() < 1e-6


@pytest.mark.parametrize("rating", [math.nan, 200.0], ids=["not rated", "rated, without a rated negative"])
def test_a_query_without_rated_negatives_takes_no_part_however_large_its_score(rating: float) -> None:
    """Its score of 200, the student's and the teacher's, overflows an exp in float32."""
    queries = torch.eye(2).requires_grad_()
    own = OwnNegatives(torch.tensor([0]), torch.tensor([1]), torch.tensor([1.0]))
    targets = Targets.plain(torch.arange(2), 2, own=own, teacher=torch.tensor([2.0, rating]))
    loss = KLDistill()(queries, torch.eye(2), targets, torch.tensor(0.005)).loss
    gradient = torch.autograd.grad(loss, queries)[0]
    assert gradient[0].isfinite().all()
    assert gradient[1].tolist() == [0.0, 0.0]


def plain(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
    """Row by row."""
    scores, excluded, total, weights = queries @ items.T / temperature, excluded_of(targets), 0.0, 0.0
    own = list(zip(targets.own.query.tolist(), targets.own.column.tolist(), targets.own.teacher.double(), strict=True))
    for row, positive in enumerate(targets.positive.tolist()):
        known = targets.teacher[row].double()
        mine = [(column, score) for query, column, score in own if query == row and not score.isnan() and not excluded[row, column]]
        if not known.isnan() and mine:
            columns = [positive, *(column for column, _ in mine)]
            theirs = torch.stack([known, *(score for _, score in mine)]).div(1.5).log_softmax(0)
            ours = scores[row, columns].log_softmax(0)
            total = total + targets.weight[row].double() * (theirs.exp() * (theirs - ours)).sum()
            weights += targets.weight[row].double()
    return total / weights


def test_equals_the_loss_row_by_row() -> None:
    assert max(errors_against(KLDistill(teacher_temperature=1.5), plain, chunk_size=None)) < 1e-5


def test_temperature_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"loss\.teacher_temperature"):
        KLDistill(teacher_temperature=0)
