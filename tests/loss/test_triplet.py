from __future__ import annotations

import pytest
import torch
from loss_cases import dense, errors_against, open_targets
from torch import Tensor

from tt_hydra.contracts import Targets
from tt_hydra.errors import ConfigError
from tt_hydra.loss.triplet import Triplet

ITEMS = torch.tensor([[0.5], [0.7], [0.45], [0.1]])
"""What a query of 1 sees, with positive 0."""


@pytest.mark.parametrize(("negatives", "expected"), [("hardest", 0.4), ("semi_hard", 0.15), ("all", (0.4 + 0.15) / 3)])
def test_value_on_one_query(negatives: str, expected: float) -> None:
    """Margin .2: candidate 1 violates by .4, 2 by .15, 3 not at all; the positive lies above 2 and 3."""
    output = Triplet(negatives=negatives)(torch.ones(1, 1), ITEMS, open_targets(torch.tensor([0]), 4), torch.tensor(9.0))
    assert output.loss.item() == pytest.approx(expected, abs=1e-6)
    assert output.effective_negatives.isnan()


def test_nothing_semi_hard_is_nothing_to_learn() -> None:
    queries = torch.ones(1, 1, requires_grad=True)
    loss = Triplet(negatives="semi_hard", margin=0.01)(queries, ITEMS, open_targets(torch.tensor([0]), 4), torch.tensor(1.0)).loss
    assert loss == 0
    assert torch.autograd.grad(loss, queries)[0] == 0


def plain(negatives: str):
    def rows(scores: Tensor, positive: Tensor, negative: Tensor, offset: Tensor) -> Tensor:
        gap = scores - positive[:, None]
        hinge = (gap + 0.2).relu()
        if negatives == "all":
            return (hinge * negative).sum(1) / negative.sum(1)
        taken = negative & (gap < 0) if negatives == "semi_hard" else negative
        return hinge.masked_fill(~taken, 0.0).amax(1)

    def whole(queries: Tensor, items: Tensor, targets: Targets, temperature: Tensor) -> Tensor:
        return dense(rows, queries, items, targets, torch.ones_like(temperature))

    return whole


@pytest.mark.parametrize("negatives", ["hardest", "semi_hard", "all"])
def test_tiles_equal_the_dense_matrix(negatives: str) -> None:
    assert max(errors_against(Triplet(negatives=negatives), plain(negatives))) < 1e-5


def test_margin_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"loss\.margin"):
        Triplet(margin=0)
