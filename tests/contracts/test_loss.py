"""What every loss keeps: each option of conf/loss as it stands there, and further forms of some of them."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from loss_cases import Case, excluded_of, negatives_of, open_targets, options, random_case, rearranged
from torch import Tensor

from tt_hydra.contracts import Loss, Targets
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.matryoshka import Matryoshka
from tt_hydra.loss.multi_task import MultiTask, Task
from tt_hydra.loss.sampled_softmax import SampledSoftmax
from tt_hydra.loss.sigmoid import Sigmoid
from tt_hydra.loss.triplet import Triplet

OPTIONS = options()
LOSSES = {
    **OPTIONS,
    "infonce_two_sided": InfoNCE(symmetric=True),
    "left_out": SampledSoftmax(positive="left_out"),
    "sigmoid": Sigmoid(bias=-1.0),
    "triplet_hardest": Triplet(negatives="hardest"),
    "triplet_all": Triplet(negatives="all"),
    "triplet_semi_hard": Triplet(negatives="semi_hard", margin=2.0),
    "matryoshka": Matryoshka(dims=(3, 2)),
    "matryoshka_dot": Matryoshka(inner=Triplet(), dims=(4,), weights=(0.5,), metric="dot"),
    "multi_task_learned": MultiTask(tasks={"one": Task(loss=InfoNCE()), "two": Task(loss=Triplet())}, weighting="uncertainty"),
}
BATCH, ITEMS = 8, 11
TAU = 0.3


@pytest.fixture(params=LOSSES.values(), ids=LOSSES.keys())
def loss(request: pytest.FixtureRequest) -> Loss:
    return request.param


@pytest.fixture
def case() -> Case:
    return random_case(BATCH)


def gradients(loss: Loss, queries: Tensor, items: Tensor, targets: Targets, tau: float = TAU) -> tuple[Tensor, ...]:
    """The loss and its gradients by queries, items and temperature."""
    inputs = [queries.detach().requires_grad_(), items.detach().requires_grad_(), torch.tensor(tau, requires_grad=True)]
    value = loss.build()(inputs[0], inputs[1], targets, inputs[2]).loss
    return value.detach(), *torch.autograd.grad(value, inputs, materialize_grads=True)


def with_chunk(loss: Loss, chunk_size: int) -> Loss:
    """The loss, or the one that it wraps, with another ``chunk_size``."""
    match loss:
        case Matryoshka(inner=inner):
            return dataclasses.replace(loss, inner=with_chunk(inner, chunk_size))
        case MultiTask(tasks=tasks):
            smaller = {name: dataclasses.replace(task, loss=with_chunk(task.loss, chunk_size)) for name, task in tasks.items()}
            return dataclasses.replace(loss, tasks=smaller)
    return dataclasses.replace(loss, chunk_size=chunk_size) if hasattr(loss, "chunk_size") else loss


def exclude(targets: Targets, excluded: Tensor) -> Targets:
    return dataclasses.replace(targets, known=excluded.nonzero())


def needs_teacher(loss: Loss) -> bool:
    return getattr(loss, "requires_teacher", False)


def test_yaml_states_the_defaults() -> None:
    for option in OPTIONS.values():
        assert option == type(option)()


def test_a_loss_without_weights_is_its_own_function(loss: Loss) -> None:
    function = loss.build()
    assert isinstance(function, torch.nn.Module) or function is loss


def test_gradient_is_that_of_finite_differences(loss: Loss, case: Case) -> None:
    temperature = torch.tensor(TAU, dtype=torch.float64, requires_grad=True)
    queries, items = (side.detach().double().requires_grad_() for side in (case.queries, case.items))
    function = loss.build()
    assert torch.autograd.gradcheck(lambda q, i, t: function(q, i, case.targets, t).loss, (queries, items, temperature))


def test_flags_say_what_reaches_the_result(loss: Loss, case: Case) -> None:
    flat = dataclasses.replace(case.targets, log_q=torch.zeros(ITEMS))
    base = gradients(loss, **vars(case))[0]
    assert (gradients(loss, **vars(case), tau=1.0)[0] != base).item() == loss.uses_temperature
    assert (gradients(loss, case.queries, case.items, flat)[0] != base).item() == loss.uses_log_q


def test_order_of_queries_and_items_does_not_matter(loss: Loss, case: Case) -> None:
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.randperm(BATCH, generator=generator), torch.randperm(ITEMS, generator=generator)
    shuffled = rearranged(case.targets, rows, columns)
    value, by_query, by_item, by_tau = gradients(loss, case.queries, case.items, case.targets)
    other, by_query_2, by_item_2, by_tau_2 = gradients(loss, case.queries[rows], case.items[columns], shuffled)
    torch.testing.assert_close(other, value)
    torch.testing.assert_close(by_query_2, by_query[rows])
    torch.testing.assert_close(by_item_2, by_item[columns])
    torch.testing.assert_close(by_tau_2, by_tau, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 4 * ITEMS + 1, 70 * ITEMS])
def test_chunks_do_not_change_value_or_gradient(loss: Loss, chunk_size: int) -> None:
    large = random_case(150)
    for got, expected in zip(gradients(with_chunk(loss, chunk_size), **vars(large)), gradients(loss, **vars(large)), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_excluded_candidates_have_no_influence(loss: Loss, case: Case) -> None:
    """An item that is excluded everywhere may be anything, and gets no gradient."""
    excluded = excluded_of(case.targets)
    excluded[:, ITEMS - 1] = True
    targets = exclude(case.targets, excluded)
    moved = case.items.detach().clone()
    moved[ITEMS - 1] *= -100
    value, _, by_item, _ = gradients(loss, case.queries, case.items, targets)
    assert gradients(loss, case.queries, moved, targets)[0] == value
    assert not by_item[ITEMS - 1].any()


def test_a_screen_and_a_missing_origin_exclude_as_known_positives_do(loss: Loss, case: Case) -> None:
    targets = case.targets
    hidden = excluded_of(targets)
    hidden[:, ITEMS - 2] = True
    expected = gradients(loss, case.queries, case.items, exclude(targets, hidden))
    origin = targets.origin.clone()
    origin[ITEMS - 2] = 0
    screened = dataclasses.replace(targets, known=targets.known[:0], screen=Fixed(excluded_of(targets)), origin=origin)
    for got, wanted in zip(gradients(loss, case.queries, case.items, screened), expected, strict=True):
        assert torch.equal(got, wanted)


@dataclasses.dataclass
class Fixed:
    """A screen from a dense matrix."""

    mask: Tensor

    def __call__(self, rows: slice) -> Tensor:
        return self.mask[rows]

    def by_column(self, columns: Tensor) -> Tensor:
        return self.mask[:, columns].T


def test_rows_without_negatives_are_left_out(loss: Loss, case: Case) -> None:
    targets = case.targets
    excluded = excluded_of(targets)
    excluded[2] = True
    excluded[:, targets.positive[2]] |= targets.positive != targets.positive[2]
    excluded[torch.arange(BATCH), targets.positive] = False
    with_row = exclude(targets, excluded)
    kept = torch.tensor([row for row in range(BATCH) if row != 2])
    without = rearranged(with_row, kept, torch.arange(ITEMS))
    got, expected = gradients(loss, case.queries, case.items, with_row), gradients(loss, case.queries[kept], case.items, without)
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1][kept], expected[1])
    assert not got[1][2].any()


@pytest.mark.parametrize("reason", ["excluded", "weight"])
def test_nothing_left_gives_zero_not_nan(loss: Loss, case: Case, reason: str) -> None:
    """All negatives masked, under a learned temperature; or no weight at all."""
    alone = exclude(dataclasses.replace(case.targets, positive=torch.arange(BATCH)), torch.ones(BATCH, ITEMS, dtype=torch.bool))
    targets = alone if reason == "excluded" else dataclasses.replace(case.targets, weight=torch.zeros(BATCH))
    assert all(not part.any() for part in gradients(loss, case.queries, case.items, targets))
    output = loss.build()(case.queries, case.items, targets, torch.tensor(TAU))
    assert all(torch.isfinite(value) for value in (output.positive_similarity, output.hardest_negative_similarity))


def test_one_query_and_one_item(loss: Loss) -> None:
    targets = open_targets(torch.zeros(1, dtype=torch.int64), 1)
    assert all(not part.any() for part in gradients(loss, torch.ones(1, 5), torch.ones(1, 5), targets))


@pytest.mark.parametrize("tau", [1e-4, 1e4])
def test_extreme_temperatures_stay_finite(loss: Loss, case: Case, tau: float) -> None:
    assert all(torch.isfinite(part).all() for part in gradients(loss, case.queries, case.items, case.targets, tau))


def test_weights_count_by_their_ratio(loss: Loss, case: Case) -> None:
    scaled = dataclasses.replace(case.targets, weight=case.targets.weight * 100)
    for got, expected in zip(gradients(loss, case.queries, case.items, scaled), gradients(loss, **vars(case)), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_a_weight_of_two_is_the_row_twice(loss: Loss, case: Case) -> None:
    """In the query's direction: a row that stands there twice."""
    if loss == LOSSES["infonce_two_sided"]:
        pytest.skip("a query that stands there twice is a candidate twice on the item side")
    weight = torch.ones(BATCH)
    weight[3] = 2.0
    twice = rearranged(dataclasses.replace(case.targets, weight=torch.ones(BATCH)), torch.tensor([*range(BATCH), 3]), torch.arange(ITEMS))
    got = gradients(loss, case.queries, case.items, dataclasses.replace(case.targets, weight=weight))
    expected = gradients(loss, torch.cat([case.queries, case.queries[3:4]]), case.items, twice)
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[2], expected[2])


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


def test_figures_are_means_before_the_temperature_and_without_gradient(loss: Loss, case: Case) -> None:
    scores, negative = case.queries @ case.items.T, negatives_of(case.targets)
    if needs_teacher(loss):
        own = case.targets.own
        rated = torch.zeros_like(negative)
        rated[own.query, own.column] = ~torch.isnan(own.teacher)
        negative &= rated & ~torch.isnan(case.targets.teacher)[:, None]
    masked = scores.masked_fill(~negative, -torch.inf)[negative.any(1)]
    shares = torch.softmax(masked / TAU, dim=1)
    effective = torch.exp(-torch.xlogy(shares, shares).sum(1)).mean()
    output = loss.build()(case.queries.requires_grad_(), case.items, case.targets, torch.tensor(TAU))
    torch.testing.assert_close(output.positive_similarity, scores.gather(1, case.targets.positive[:, None]).mean())
    torch.testing.assert_close(output.hardest_negative_similarity, masked.amax(1).mean())
    torch.testing.assert_close(output.effective_negatives, effective if loss.uses_temperature else torch.tensor(math.nan), equal_nan=True)
    figures = output.positive_similarity, output.hardest_negative_similarity, output.effective_negatives, *output.parts.values()
    assert not any(figure.requires_grad for figure in figures)
    assert all(figure.shape == () for figure in figures)


def test_value_without_gradient_is_the_same(loss: Loss, case: Case) -> None:
    with torch.no_grad():
        value = loss.build()(case.queries, case.items, case.targets, torch.tensor(TAU)).loss
    assert not value.requires_grad
    assert value == gradients(loss, **vars(case))[0]
