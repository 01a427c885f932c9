from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from loss_cases import errors_against, excluded_of
from torch import Tensor

from tt_hydra.contracts import OwnNegatives, Targets
from tt_hydra.loss.margin_mse import MarginMSE

QUERIES, ITEMS = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.2, 0.1]])


def rated(pairs: list[tuple[int, int, float]], teacher: list[float], **others: object) -> Targets:
    query, column, score = (torch.tensor(each) for each in zip(*pairs, strict=True))
    own = OwnNegatives(query, column, score)
    return Targets.plain(torch.tensor([0, 1]), 4, own=own, teacher=torch.tensor(teacher), **others)


def test_value_on_two_queries() -> None:
    """Temperature .5. Query 0: margins 1 and 1.6 against the teacher's 3 and 1; query 1: 1.8 against 2."""
    targets = rated([(0, 2, 1.0), (0, 3, 3.0), (1, 3, 2.0)], [4.0, 4.0])
    first, second = ((1 - 3) ** 2 + (1.6 - 1) ** 2) / 2, (1.8 - 2) ** 2
    assert MarginMSE()(QUERIES, ITEMS, targets, torch.tensor(0.5)).loss.item() == pytest.approx((first + second) / 2, rel=1e-5)


@pytest.mark.parametrize("why", ["no score of the positive", "no score of its negative", "no negative", "excluded"])
def test_a_query_without_ratings_is_left_out(why: str) -> None:
    pairs, teacher = [(0, 2, 1.0), (0, 3, 3.0), (1, 3, 2.0)], [4.0, 4.0]
    known = torch.empty(0, 2, dtype=torch.int64)
    match why:
        case "no score of the positive":
            teacher[1] = torch.nan
        case "no score of its negative":
            pairs[2] = (1, 3, torch.nan)
        case "no negative":
            pairs.pop()
        case "excluded":
            known = torch.tensor([[1, 3]])
    loss = MarginMSE()(QUERIES, ITEMS, rated(pairs, teacher, known=known), torch.tensor(0.5)).loss
    assert loss.item() == pytest.approx(((1 - 3) ** 2 + (1.6 - 1) ** 2) / 2, rel=1e-5)


def test_data_without_a_teacher_teach_nothing() -> None:
    targets = Targets.plain(torch.tensor([0, 1]), 4)
    queries = QUERIES.clone().requires_grad_()
    loss = MarginMSE()(queries, ITEMS, targets, torch.tensor(1.0)).loss
    assert loss == 0
    assert not torch.autograd.grad(loss, queries)[0].any()


def plain(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
    """Row by row."""
    scores, excluded, total, weights = queries @ items.T / temperature, excluded_of(targets), 0.0, 0.0
    own = list(zip(targets.own.query.tolist(), targets.own.column.tolist(), targets.own.teacher.tolist(), strict=True))
    for row, positive in enumerate(targets.positive.tolist()):
        known = targets.teacher[row].item()
        mine = [(column, score) for query, column, score in own if query == row and not math.isnan(score) and not excluded[row, column]]
        if mine and not math.isnan(known):
            errors = [((scores[row, positive] - scores[row, column]) - (known - score)) ** 2 for column, score in mine]
            total = total + targets.weight[row].double() * sum(errors) / len(errors)
            weights += targets.weight[row].double()
    return total / weights


def test_equals_the_loss_row_by_row() -> None:
    assert max(errors_against(MarginMSE(), plain, chunk_size=None)) < 1e-5


def test_ratings_shared_by_all_change_nothing() -> None:
    targets = rated([(0, 2, 1.0), (1, 3, 2.0)], [4.0, 4.0])
    shifted = dataclasses.replace(
        targets, teacher=targets.teacher + 7, own=dataclasses.replace(targets.own, teacher=targets.own.teacher + 7)
    )
    one, other = (MarginMSE()(QUERIES, ITEMS, each, torch.tensor(0.5)).loss for each in (targets, shifted))
    torch.testing.assert_close(one, other)
