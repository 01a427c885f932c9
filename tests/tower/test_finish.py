"""The last step of a tower: what vectors are compared by, and the bias of an item."""

from __future__ import annotations

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.tower.finish import Finish, unit


def test_unit_vectors_have_length_one_and_zero_stays_zero_without_gradient() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-6, 0.0]], requires_grad=True)
    result = unit(vectors)
    torch.testing.assert_close(result, torch.tensor([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]]))
    result.sum().backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()
    assert vectors.grad[1].tolist() == [0.0, 0.0]


def test_nan_is_not_taken_for_zero() -> None:
    """A loss of zero vectors would hide that the weights are lost."""
    assert unit(torch.tensor([[torch.nan, 1.0]])).isnan().all()


def test_half_precision_becomes_float32() -> None:
    assert unit(torch.full((1, 4), 3.0, dtype=torch.bfloat16)).tolist() == [[0.5] * 4]


@pytest.mark.parametrize("side", ["query", "item"])
def test_without_a_bias_both_sides_are_finished_alike(side: str) -> None:
    vectors = torch.tensor([[3.0, 4.0]], dtype=torch.bfloat16)
    torch.testing.assert_close(Finish("cosine")(vectors, side), torch.tensor([[0.6, 0.8]]))  # type: ignore[arg-type]
    torch.testing.assert_close(Finish("dot")(vectors, side), torch.tensor([[3.0, 4.0]]))  # type: ignore[arg-type]


def test_the_dot_product_is_the_cosine_and_the_items_bias() -> None:
    finish = Finish("dot", item_bias=True)
    query, item = finish(torch.tensor([[3.0, 4.0, 7.0]]), "query"), finish(torch.tensor([[8.0, 6.0, 0.25]]), "item")
    assert query[0].tolist() == pytest.approx([0.6, 0.8, 1.0])
    assert (query @ item.T).item() == pytest.approx(0.6 * 0.8 + 0.8 * 0.6 + 0.25)


def test_a_query_of_which_nothing_is_known_ranks_by_the_bias_alone() -> None:
    finish = Finish("dot", item_bias=True)
    items = finish(torch.tensor([[1.0, 2.0, 0.1], [5.0, 5.0, 0.3], [2.0, 1.0, -0.4]]), "item")
    assert (finish(torch.zeros(1, 3), "query") @ items.T)[0].tolist() == pytest.approx([0.1, 0.3, -0.4])


def test_a_query_does_not_learn_its_last_dimension_and_an_item_does() -> None:
    finish = Finish("dot", item_bias=True)
    query, item = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    (finish(query, "query") * finish(item, "item")).sum().backward()
    assert query.grad is not None
    assert item.grad is not None
    assert query.grad[:, -1].tolist() == [0.0, 0.0]
    assert item.grad[:, -1].tolist() == [1.0, 1.0]


def test_a_bias_beside_vectors_of_length_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"item_bias=true .* set metric=dot \(got cosine\)"):
        Finish("cosine", item_bias=True)
