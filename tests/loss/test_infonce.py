from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from loss_cases import errors_against, excluded_of, negatives_of, targets_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tt_hydra.contracts import Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.infonce import InfoNCE
from tt_hydra.loss.tiles import LEAST_ROWS

QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
ITEMS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
TAU = torch.tensor(0.5)


def targets(positive: list[int], excluded: list[tuple[int, int]] = (), items: int = 3, weight: list[float] | None = None) -> Targets:
    mask = torch.zeros(len(positive), items, dtype=torch.bool)
    for row, column in excluded:
        mask[row, column] = True
    return targets_of(torch.tensor(positive), mask, weight=torch.tensor(weight or [1.0] * len(positive)))


def test_value_on_two_queries_and_three_items() -> None:
    """Scores / 0.5: query 0 has (2, 0, 2) with positive 0, query 1 has (0, 2, 2) with positive 1."""
    expected = math.log(2 * math.e**2 + 1) - 2
    output = InfoNCE()(QUERIES, ITEMS, targets([0, 1]), TAU)
    assert output.loss.item() == pytest.approx(expected, abs=1e-6)
    assert output.positive_similarity.item() == 1.0
    assert output.hardest_negative_similarity.item() == 1.0


def test_excluded_candidates_do_not_count() -> None:
    """Without item 2 only (2, 0) is left for query 0; query 1 keeps (0, 2, 2)."""
    first, second = math.log1p(math.exp(-2)), math.log(2 + math.exp(-2))
    output = InfoNCE()(QUERIES, ITEMS, targets([0, 1], [(0, 2)]), TAU)
    assert output.loss.item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert output.hardest_negative_similarity.item() == 0.5


def test_weights() -> None:
    first, second = math.log1p(math.exp(-2)), math.log(2 + math.exp(-2))
    output = InfoNCE()(QUERIES, ITEMS, targets([0, 1], [(0, 2)], weight=[3.0, 1.0]), TAU)
    assert output.loss.item() == pytest.approx((3 * first + second) / 4, abs=1e-6)


def test_two_sides_with_a_shared_item() -> None:
    """Queries 0 and 2 have item 0: in its direction the other is no negative, so both pick among themselves and query 1.

    Scores: query 0 (1, 0), query 1 (0, 1), query 2 (1, 1) on items 0 and 1, temperature 1. Query 2 also knows item 1 (excluded), so
    query 2 has no negative, and item 1 has only query 0 against query 1.
    """
    queries, items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.eye(2)
    batch = targets([0, 1, 0], [(2, 1)], items=2)
    to_items = math.log1p(math.exp(-1))
    to_queries = math.log1p(math.exp(-1))
    one = torch.tensor(1.0)
    assert InfoNCE()(queries, items, batch, one).loss.item() == pytest.approx(to_items, abs=1e-6)
    assert InfoNCE(symmetric=True)(queries, items, batch, one).loss.item() == pytest.approx((to_items + to_queries) / 2, abs=1e-6)


def brute_force_item_side(queries: Tensor, items: Tensor, batch: Targets, tau: float) -> float:
    scores, total, weights = queries @ items.T / tau, 0.0, 0.0
    positive = batch.positive.tolist()
    for row, item in enumerate(positive):
        others = [j for j in range(len(positive)) if positive[j] != item and not excluded_of(batch)[j, item]]
        if others:
            against = [scores[j, item].item() for j in [row, *others]]
            total += batch.weight[row].item() * (math.log(sum(map(math.exp, against))) - scores[row, item].item())
            weights += batch.weight[row].item()
    return total / weights


def test_two_sides_are_the_mean_of_both_directions() -> None:
    generator = torch.Generator().manual_seed(3)
    queries, items = torch.randn(12, 4, generator=generator), torch.randn(9, 4, generator=generator)
    positive = torch.randint(0, 6, (12,), generator=generator)
    excluded = torch.rand(12, 9, generator=generator) < 0.3
    excluded[torch.arange(12), positive] = False
    batch = targets_of(positive, excluded, weight=torch.rand(12, generator=generator))
    tau = torch.tensor(0.7)
    expected = (InfoNCE()(queries, items, batch, tau).loss.item() + brute_force_item_side(queries, items, batch, 0.7)) / 2
    assert InfoNCE(symmetric=True)(queries, items, batch, tau).loss.item() == pytest.approx(expected, abs=1e-5)


def direction(scores: Tensor, targets: Targets, negative: Tensor) -> Tensor:
    own = scores.gather(1, targets.positive[:, None]).squeeze(1)
    kept = negative.any(1)
    losses = scores.masked_fill(~negative, -torch.inf).logsumexp(1).logaddexp(own) - own
    weight = targets.weight.double()[kept]
    return (weight * losses[kept]).sum() / weight.sum()


def plain(symmetric: bool) -> Callable[[Tensor, Tensor, Targets, Tensor], Tensor]:
    def whole(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
        forward = direction(queries @ items.T / temperature, targets, negatives_of(targets))
        if not symmetric:
            return forward
        positive = targets.positive
        negative = ~excluded_of(targets)[:, positive].T & (positive[:, None] != positive)
        other = dataclasses.replace(targets, positive=torch.arange(len(positive)))
        return (forward + direction(items[positive] @ queries.T / temperature, other, negative)) / 2

    return whole


@pytest.mark.parametrize("symmetric", [False, True])
def test_tiles_equal_the_dense_matrix(symmetric: bool) -> None:
    assert max(errors_against(InfoNCE(symmetric=symmetric), plain(symmetric))) < 1e-5


def test_the_item_side_needs_room_for_a_tile_only() -> None:
    """Every query knows every item, and all have the same positive."""
    batch, biggest = 300, 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal biggest
            result = func(*args, **(kwargs or {}))
            tensors = [each for each in (result if isinstance(result, tuple) else (result,)) if isinstance(each, Tensor)]
            biggest = max([biggest, *(each.numel() for each in tensors)])
            return result

    known = torch.cartesian_prod(torch.arange(batch), torch.arange(5))
    targets = Targets.plain(torch.randint(0, 600, (batch,)), 600, known=known)
    queries, items = torch.randn(batch, 4, requires_grad=True), torch.randn(600, 4, requires_grad=True)
    with Watch():
        InfoNCE(symmetric=True, chunk_size=1)(queries, items, targets, TAU).loss.backward()
    assert biggest == LEAST_ROWS * 600


def test_chunk_size_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"loss\.chunk_size"):
        InfoNCE(chunk_size=0)


def all_positives_by_rows(queries: Tensor, items: Tensor, known: list[list[int]], tau: float) -> Tensor:
    """Each positive of a query against what is no positive of it, one at a time; the mean by query, then over the queries."""
    losses = []
    for query, positives in zip(queries, known, strict=True):
        scores = items @ query / tau
        negatives = [column for column in range(len(items)) if column not in positives]
        each = [torch.logsumexp(scores[[*negatives, positive]], dim=0) - scores[positive] for positive in positives]
        losses.append(torch.stack(each).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("rows_at_once", [1, 1000])
def test_all_positives_are_averaged(rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tt_hydra.loss.tiles.LEAST_ROWS", 1)
    torch.manual_seed(0)
    queries, items = torch.randn(4, 3, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    known = [[0, 2, 5], [1], [3, 4], [2, 0, 1, 4]]
    pairs = [(row, column) for row, columns in enumerate(known) for column in sorted(columns)]
    found, wanted = [], []
    for results in (found, wanted):
        inputs = [each.clone().requires_grad_() for each in (queries, items, torch.tensor(0.3, dtype=torch.float64))]
        if results is found:
            batch = Targets.plain(torch.tensor([2, 1, 3, 0]), 6, known=torch.tensor(pairs))
            loss = InfoNCE(positives="all", chunk_size=6 * rows_at_once)(inputs[0], inputs[1], batch, inputs[2]).loss
        else:
            loss = all_positives_by_rows(inputs[0], inputs[1], known, inputs[2])
        results += [loss, *torch.autograd.grad(loss, inputs)]
    torch.testing.assert_close(found, wanted)


def test_all_positives_of_a_query_that_has_one_are_its_own() -> None:
    batch = targets([0, 1])
    assert InfoNCE(positives="all")(QUERIES, ITEMS, batch, TAU).loss == InfoNCE()(QUERIES, ITEMS, batch, TAU).loss


def test_a_query_whose_positives_are_all_there_is_says_nothing() -> None:
    batch = targets([0, 1], [(0, 1), (0, 2)])
    assert InfoNCE(positives="all")(QUERIES, ITEMS, batch, TAU).loss == InfoNCE()(QUERIES, ITEMS, batch, TAU).loss


def test_an_unknown_choice_of_positives_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: own, all"):
        InfoNCE(positives="some")  # type: ignore[arg-type]
