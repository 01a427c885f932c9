from __future__ import annotations

import torch

from tt_hydra.screen.none import NoScreen


def test_leaves_nothing_out() -> None:
    assert NoScreen().encoder() is None
    assert NoScreen().build(torch.ones(1, 2), torch.ones(3, 2), None, torch.tensor([0])) is None
