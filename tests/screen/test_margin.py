from __future__ import annotations

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.screen.margin import Margin

QUERIES = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
ITEMS = torch.tensor([[0.8, -0.5], [0.75, 0.1], [0.5, -0.45], [0.9, -0.6], [0.8, -0.5]])
"""Query 0 sees .8 .75 .5 .9 .8 with positive 0; query 1 sees -.5 .1 -.45 -.6 -.5 with positive 0."""


@pytest.mark.parametrize(
    ("margin", "kind", "first", "second"),
    [
        (0.0, "absolute", [3, 4, 0], [0, 1, 2, 4]),
        (0.1, "absolute", [0, 1, 3, 4], [0, 1, 2, 3, 4]),
        (-0.06, "absolute", [3], [1]),
        (0.05, "relative", [3, 4, 0], [0, 1, 2, 4]),
        (0.1, "relative", [0, 1, 3, 4], [0, 1, 2, 4]),
        (-0.05, "relative", [3], [1, 2]),
    ],
)
def test_what_lies_above_the_limit_is_left_out(margin: float, kind: str, first: list[int], second: list[int]) -> None:
    """With .1 the limits are .7 and -.6 (absolute), .72 and -.55 (relative): a margin lowers a negative similarity's limit too."""
    screen = Margin(margin=margin, kind=kind).build(QUERIES, ITEMS, None, torch.tensor([0, 0]))
    mask = screen(slice(0, 2))
    assert mask[0].nonzero().flatten().tolist() == sorted(first)
    assert mask[1].nonzero().flatten().tolist() == sorted(second)


def test_rows_and_columns_see_the_same() -> None:
    generator = torch.Generator().manual_seed(1)
    queries, items = torch.randn(7, 3, generator=generator), torch.randn(9, 3, generator=generator)
    screen = Margin(margin=0.2).build(queries, items, None, torch.arange(7))
    whole = screen(slice(0, 7))
    assert torch.equal(torch.cat([screen(slice(0, 4)), screen(slice(4, 7))]), whole)
    columns = torch.tensor([8, 0, 0, 3])
    assert torch.equal(screen.by_column(columns), whole[:, columns].T)
    assert whole.any()
    assert not whole.all()


def test_no_gradient_goes_through() -> None:
    queries = QUERIES.clone().requires_grad_()
    assert not Margin().build(queries, ITEMS, None, torch.tensor([0, 0])).limit.requires_grad


def test_autocast_does_not_reach_the_limit() -> None:
    screen = Margin(margin=0.0).build(QUERIES, ITEMS, None, torch.tensor([0, 0]))
    expected = screen(slice(0, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Margin(margin=0.0).build(QUERIES, ITEMS, None, torch.tensor([0, 0]))(slice(0, 2)), expected)


@pytest.mark.parametrize("margin", [5, -1.5, float("nan")])
def test_a_margin_that_is_a_percentage_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match=r"screen\.margin"):
        Margin(margin=margin)
