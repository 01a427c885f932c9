"""What every loss keeps: each option of conf/loss as it stands there, and the two-sided InfoNCE."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from loss_cases import excluded_of, open_targets, targets_of
from torch import Tensor

from tt_hydra.component import instantiate
from tt_hydra.contracts import Loss, Targets
from tt_hydra.loss.infonce import InfoNCE

FOLDER = Path(__file__).parents[2] / "conf" / "loss"
OPTIONS = {path.stem: instantiate(yaml.safe_load(path.read_text()), object) for path in sorted(FOLDER.glob("*.yaml"))}
LOSSES = {**OPTIONS, "infonce_two_sided": InfoNCE(symmetric=True)}
BATCH, ITEMS, DIM = 8, 11, 5
TAU = 0.3


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param


@dataclasses.dataclass
class Case:
    queries: Tensor
    items: Tensor
    targets: Targets


@pytest.fixture
def case() -> Case:
    return random_case(BATCH)


def random_case(batch: int) -> Case:
    generator = torch.Generator().manual_seed(7)
    queries, items = torch.randn(batch, DIM, generator=generator), torch.randn(ITEMS, DIM, generator=generator)
    positive = torch.randint(0, 6, (batch,), generator=generator)
    excluded = torch.rand(batch, ITEMS, generator=generator) < 0.3
    excluded[torch.arange(batch), positive] = False
    log_q, weight = -torch.rand(ITEMS, generator=generator) * 5, torch.rand(batch, generator=generator) + 0.1
    return Case(queries.requires_grad_(), items.requires_grad_(), targets_of(positive, excluded, log_q, weight))


def gradients(loss: Loss, queries: Tensor, items: Tensor, targets: Targets, tau: float = TAU) -> tuple[Tensor, ...]:
    """The loss and its gradients by queries, items and temperature."""
    inputs = [queries.detach().requires_grad_(), items.detach().requires_grad_(), torch.tensor(tau, requires_grad=True)]
    value = loss(inputs[0], inputs[1], targets, inputs[2]).loss
    return value.detach(), *torch.autograd.grad(value, inputs, materialize_grads=True)


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_gradient_is_that_of_finite_differences(loss: Loss, case: Case) -> None:
    temperature = torch.tensor(TAU, dtype=torch.float64, requires_grad=True)
    queries, items = (side.detach().double().requires_grad_() for side in (case.queries, case.items))
    assert torch.autograd.gradcheck(lambda q, i, t: loss(q, i, case.targets, t).loss, (queries, items, temperature))


def test_flags_say_what_reaches_the_result(loss: Loss, case: Case) -> None:
    one, tau = torch.tensor(1.0), torch.tensor(TAU)
    flat = dataclasses.replace(case.targets, log_q=torch.zeros(ITEMS))
    base = loss(case.queries, case.items, case.targets, tau).loss
    assert (loss(case.queries, case.items, case.targets, one).loss != base).item() == loss.uses_temperature
    assert (loss(case.queries, case.items, flat, tau).loss != base).item() == loss.uses_log_q


def test_order_of_queries_and_items_does_not_matter(loss: Loss, case: Case) -> None:
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(BATCH, generator=generator), torch.randperm(ITEMS, generator=generator)
    targets = case.targets
    excluded = excluded_of(targets)[rows][:, columns]
    shuffled = targets_of(torch.argsort(columns)[targets.positive[rows]], excluded, targets.log_q[columns], targets.weight[rows])
    value, by_query, by_item, by_tau = gradients(loss, case.queries, case.items, targets)
    other, by_query_2, by_item_2, by_tau_2 = gradients(loss, case.queries[rows], case.items[columns], shuffled)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(by_query_2, by_query[rows])
    torch.testing.assert_close(by_item_2, by_item[columns])
    torch.testing.assert_close(by_tau_2, by_tau)


@pytest.mark.parametrize("chunk_size", [1, 4 * ITEMS + 1, 70 * ITEMS])
def test_chunks_do_not_change_value_or_gradient(loss: Loss, chunk_size: int) -> None:
    large = random_case(150)
    chunked = dataclasses.replace(loss, chunk_size=chunk_size)  # type: ignore[type-var]
    for got, expected in zip(gradients(chunked, **vars(large)), gradients(loss, **vars(large)), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_excluded_candidates_have_no_influence(loss: Loss, case: Case) -> None:
    """An item that is excluded everywhere may be anything, and gets no gradient."""
    excluded = excluded_of(case.targets)
    excluded[:, ITEMS - 1] = True
    targets = dataclasses.replace(case.targets, known=excluded.nonzero())
    moved = case.items.detach().clone()
    moved[ITEMS - 1] *= -100
    value, _, by_item, _ = gradients(loss, case.queries, case.items, targets)
    assert gradients(loss, case.queries, moved, targets)[0] == value
    assert not by_item[ITEMS - 1].any()


def test_rows_without_negatives_are_left_out(loss: Loss, case: Case) -> None:
    targets = case.targets
    excluded = excluded_of(targets)
    excluded[2] = True
    excluded[:, targets.positive[2]] |= targets.positive != targets.positive[2]
    excluded[torch.arange(BATCH), targets.positive] = False
    with_row = dataclasses.replace(targets, known=excluded.nonzero())
    kept = torch.tensor([row for row in range(BATCH) if row != 2])
    without = targets_of(targets.positive[kept], excluded[kept], targets.log_q, targets.weight[kept])
    got, expected = gradients(loss, case.queries, case.items, with_row), gradients(loss, case.queries[kept], case.items, without)
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1][kept], expected[1])
    assert not got[1][2].any()


@pytest.mark.parametrize("reason", ["excluded", "weight"])
def test_nothing_left_gives_zero_not_nan(loss: Loss, case: Case, reason: str) -> None:
    """All negatives masked, under a learned temperature; or no weight at all."""
    excluded = torch.ones(BATCH, ITEMS, dtype=torch.bool)
    excluded[torch.arange(BATCH), torch.arange(BATCH)] = False
    alone = targets_of(torch.arange(BATCH), excluded, case.targets.log_q, case.targets.weight)
    targets = alone if reason == "excluded" else dataclasses.replace(case.targets, weight=torch.zeros(BATCH))
    assert all(not part.any() for part in gradients(loss, case.queries, case.items, targets))
    output = loss(case.queries, case.items, targets, torch.tensor(TAU))
    assert all(torch.isfinite(value) for value in (output.positive_similarity, output.hardest_negative_similarity))


def test_one_query_and_one_item(loss: Loss) -> None:
    targets = open_targets(torch.zeros(1, dtype=torch.int64), 1)
    assert all(not part.any() for part in gradients(loss, torch.ones(1, 2), torch.ones(1, 2), targets))


@pytest.mark.parametrize("tau", [1e-4, 1e4])
def test_extreme_temperatures_stay_finite(loss: Loss, case: Case, tau: float) -> None:
    assert all(torch.isfinite(part).all() for part in gradients(loss, case.queries, case.items, case.targets, tau))


def test_weights_count_by_their_ratio(loss: Loss, case: Case) -> None:
    scaled = dataclasses.replace(case.targets, weight=case.targets.weight * 100)
    for got, expected in zip(gradients(loss, case.queries, case.items, scaled), gradients(loss, **vars(case)), strict=True):
        torch.testing.assert_close(got, expected)


def test_autocast_does_not_reach_the_scores(loss: Loss, case: Case) -> None:
    expected = gradients(loss, **vars(case))
    with torch.autocast("cpu", torch.bfloat16):
        got = gradients(loss, **vars(case))
    for mine, plain in zip(got, expected, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, plain)


def test_low_precision_vectors_are_scored_in_float32(loss: Loss, case: Case) -> None:
    queries, items = case.queries.bfloat16(), case.items.bfloat16()
    value, by_query, by_item, by_tau = gradients(loss, queries, items, case.targets)
    exact = gradients(loss, queries.float(), items.float(), case.targets)
    assert value.dtype == torch.float32
    assert value == exact[0]
    assert by_tau == exact[3]
    assert by_query.dtype == by_item.dtype == torch.bfloat16
    assert torch.equal(by_query, exact[1].bfloat16())


def test_similarities_are_means_before_the_temperature_and_without_gradient(loss: Loss, case: Case) -> None:
    scores, excluded = (case.queries @ case.items.T).detach(), excluded_of(case.targets)
    own = torch.arange(BATCH), case.targets.positive
    excluded[own] = True
    output = loss(case.queries, case.items, case.targets, torch.tensor(TAU))
    torch.testing.assert_close(output.positive_similarity, scores[own].mean())
    torch.testing.assert_close(output.hardest_negative_similarity, scores.masked_fill(excluded, -torch.inf).amax(1).mean())
    assert not output.positive_similarity.requires_grad
    assert not output.hardest_negative_similarity.requires_grad


def test_value_without_gradient_is_the_same(loss: Loss, case: Case) -> None:
    with torch.no_grad():
        value = loss(case.queries, case.items, case.targets, torch.tensor(TAU)).loss
    assert not value.requires_grad
    assert value == gradients(loss, **vars(case))[0]
