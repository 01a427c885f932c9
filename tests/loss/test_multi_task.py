from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from loss_cases import dense, errors_against, random_case
from torch import Tensor

from tt_hydra.contracts import Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.multi_task import MultiTask, Task
from tt_hydra.loss.sigmoid import Sigmoid
from tt_hydra.loss.triplet import Triplet

TAU = torch.tensor(0.5)
RETRIEVAL = Task(loss=InfoNCE())
QUERIES, ITEMS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
POSITIVE = torch.tensor([0, 1, 0])
"""Similarities 1, 2, 1."""


def labelled(label: list[float]) -> Targets:
    return Targets.plain(POSITIVE, 2, labels={"rating": torch.tensor(label)})


def parts_of(targets: Targets, **tasks: Task) -> dict[str, float]:
    output = MultiTask(tasks={"retrieval": RETRIEVAL, **tasks}).build()(QUERIES, ITEMS, targets, TAU)
    return {name: value.item() for name, value in output.parts.items()}


def test_regression_leaves_rows_without_a_label_out() -> None:
    """Scale 1, bias 0: errors 1 - 3 and 1 - 2."""
    parts = parts_of(labelled([3.0, math.nan, 2.0]), rating=Task(kind="regression", label="rating"))
    assert parts["rating/loss"] == pytest.approx((4 + 1) / 2)


def test_binary_asks_whether_the_label_reaches_the_threshold() -> None:
    parts = parts_of(labelled([4.0, 3.9, math.nan]), liked=Task(kind="binary", label="rating", threshold=4.0))
    assert parts["liked/loss"] == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2)


def test_binary_without_a_threshold_takes_the_label_for_a_probability() -> None:
    parts = parts_of(labelled([0.25, math.nan, math.nan]), liked=Task(kind="binary", label="rating"))
    assert parts["liked/loss"] == pytest.approx(0.25 * math.log1p(math.exp(-1)) + 0.75 * math.log1p(math.exp(1)))


def test_retrieval_with_a_label_takes_the_rows_that_reach_the_threshold() -> None:
    """Queries 0 and 2 have no label that reaches 4."""
    parts = parts_of(labelled([3.0, 5.0, math.nan]), liked=Task(loss=InfoNCE(), label="rating", threshold=4.0))
    assert parts["liked/loss"] == pytest.approx(math.log1p(math.exp(-4)), rel=1e-5)
    alone = InfoNCE()(QUERIES, ITEMS, labelled([3.0, 5.0, math.nan]), TAU).loss.item()
    assert parts["retrieval/loss"] == pytest.approx(alone)


def test_fixed_weights_are_those_of_a_mean() -> None:
    targets = labelled([3.0, math.nan, 2.0])
    spec = MultiTask(tasks={"retrieval": RETRIEVAL, "rating": Task(kind="regression", label="rating", weight=0.25)})
    output = spec.build()(QUERIES, ITEMS, targets, TAU)
    alone = InfoNCE()(QUERIES, ITEMS, targets, TAU)
    torch.testing.assert_close(output.loss, (alone.loss + 0.25 * 2.5) / 1.25)
    assert output.effective_negatives == alone.effective_negatives
    assert output.parts["rating/weight"] == 0.25


def test_effective_negatives_are_those_of_a_task_that_knows_them() -> None:
    """A closed loop would see nothing where the first task takes no temperature."""
    targets = labelled([3.0, math.nan, 2.0])
    spec = MultiTask(tasks={"margin": Task(loss=Triplet()), "retrieval": RETRIEVAL})
    assert spec.build()(QUERIES, ITEMS, targets, TAU).effective_negatives == InfoNCE()(QUERIES, ITEMS, targets, TAU).effective_negatives


def with_label(kind: str, weighting: str) -> MultiTask:
    tasks = {"retrieval": RETRIEVAL, "rating": Task(kind=kind, label="rating", threshold=3.0 if kind == "binary" else None)}
    return MultiTask(tasks=tasks, weighting=weighting)


def test_tiles_equal_the_dense_matrix() -> None:
    """Two tasks, one of them over the rows whose rating reaches 3."""

    def rows(scores: Tensor, positive: Tensor, negative: Tensor, offset: Tensor) -> Tensor:
        return scores.masked_fill(~negative, -torch.inf).logsumexp(1).logaddexp(positive) - positive

    def plain(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
        liked = dataclasses.replace(targets, weight=targets.weight * (targets.labels["rating"] >= 3))
        return (dense(rows, queries, items, targets, temperature) + 0.5 * dense(rows, queries, items, liked, temperature)) / 1.5

    tasks = {name: Task(loss=InfoNCE(chunk_size=1)) for name in ("all", "liked")}
    tasks["liked"] = dataclasses.replace(tasks["liked"], label="rating", threshold=3.0, weight=0.5)
    assert max(errors_against(MultiTask(tasks=tasks), plain, chunk_size=None)) < 1e-5


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_gradients_of_all_weights_are_those_of_finite_differences(kind: str) -> None:
    case = random_case(8)
    loss = with_label(kind, "uncertainty").build().double()
    names = [name for name, _ in loss.named_parameters()]
    assert set(names) == {"losses.rating.scale", "losses.rating.bias", "weighting.log_variance"}

    def value(queries: Tensor, items: Tensor, *weights: Tensor) -> Tensor:
        arguments = queries, items, case.targets, TAU.double()
        return torch.func.functional_call(loss, dict(zip(names, weights, strict=True)), arguments).loss

    inputs = [case.queries.double(), case.items.double(), *(parameter.detach() + 0.3 for parameter in loss.parameters())]
    assert torch.autograd.gradcheck(value, [each.requires_grad_() for each in inputs])


def test_uncertainty_is_that_of_kendall() -> None:
    """Log variances a and b: cross-entropy / exp(a) + a / 2, squared error / (2 exp(b)) + b / 2, over two tasks."""
    targets = labelled([3.0, math.nan, 2.0])
    loss = with_label("regression", "uncertainty").build()
    loss.weighting.log_variance.data = torch.tensor([0.4, -0.6])
    alone = InfoNCE()(QUERIES, ITEMS, targets, TAU).loss.item()
    expected = (alone / math.exp(0.4) + 0.2 + 2.5 / (2 * math.exp(-0.6)) - 0.3) / 2
    assert loss(QUERIES, ITEMS, targets, TAU).loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_task_without_rows_does_not_move_its_variance() -> None:
    loss = with_label("regression", "uncertainty").build()
    loss(QUERIES, ITEMS, labelled([math.nan] * 3), TAU).loss.backward()
    assert loss.weighting.log_variance.grad is not None
    assert loss.weighting.log_variance.grad[1] == 0
    assert loss.weighting.log_variance.grad[0] != 0


def test_gradient_norm_makes_all_tasks_pull_equally() -> None:
    case = random_case(8)
    tasks = {"one": RETRIEVAL, "two": Task(loss=Triplet(negatives="hardest")), "none": Task(kind="regression", label="none")}
    spec = MultiTask(tasks=tasks, weighting="gradient_norm")
    targets = dataclasses.replace(case.targets, labels={"none": torch.full((8,), torch.nan)})
    queries, items = case.queries.requires_grad_(), case.items.requires_grad_()
    parts = spec.build()(queries, items, targets, TAU).parts
    lengths = []
    for loss in (InfoNCE(), Triplet(negatives="hardest")):
        gradients = torch.autograd.grad(loss(queries, items, targets, TAU).loss, (queries, items))
        lengths.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
    one, two = parts["one/weight"].item(), parts["two/weight"].item()
    assert one * lengths[0] == pytest.approx(two * lengths[1], rel=1e-4)
    assert (one + two) / 2 == pytest.approx(1, rel=1e-4)
    assert parts["none/loss"] == 0


def test_gradient_norm_weighs_alike_where_nothing_is_differentiated() -> None:
    case = random_case(8)
    with torch.no_grad():
        parts = with_label("regression", "gradient_norm").build()(case.queries, case.items, case.targets, TAU).parts
    assert parts["retrieval/weight"] == parts["rating/weight"] == 1


def test_weights_of_tasks_losses_are_its_own() -> None:
    names = {name for name, _ in MultiTask(tasks={"pairs": Task(loss=Sigmoid())}).build().named_parameters()}
    assert names == {"losses.pairs.bias"}


def test_autocast_reaches_no_head() -> None:
    case = random_case(8)
    loss = with_label("regression", "fixed").build()
    expected = loss(case.queries, case.items, case.targets, TAU).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(case.queries, case.items, case.targets, TAU).loss == expected


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({}, "kind=retrieval"),
        ({"rating": Task(kind="regression", label="rating")}, "kind=retrieval"),
        ({"one": Task()}, "loss.tasks.one: a retrieval task needs a loss"),
        ({"one": RETRIEVAL, "two": Task(kind="binary")}, "loss.tasks.two: a binary task needs a label"),
        ({"one": RETRIEVAL, "two": Task(kind="binary", label="x", loss=InfoNCE())}, "loss of its own"),
        ({"one": Task(loss=InfoNCE(), label="x")}, "label and threshold go together"),
        ({"one": RETRIEVAL, "two": Task(kind="regression", label="x", threshold=1.0)}, "takes no threshold"),
        ({"one": Task(loss=InfoNCE(), weight=0)}, "weight must be above 0"),
        ({"a.b": RETRIEVAL}, "no plain name"),
    ],
)
def test_tasks_that_make_no_sense(tasks: dict[str, Task], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultiTask(tasks=tasks)


def test_a_label_that_the_data_does_not_have() -> None:
    with pytest.raises(ConfigError, match="no label of the data; it has rating"):
        parts_of(labelled([1.0, 1.0, 1.0]), price=Task(kind="regression", label="price"))
