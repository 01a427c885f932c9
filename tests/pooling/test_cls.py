from __future__ import annotations

import torch

from tt_hydra.pooling.cls import Cls

VECTORS = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [2.0, 0.0], [6.0, 1.0]]])
MASK = torch.tensor([[False, True, True, True]])


def test_takes_the_first_real_position() -> None:
    expected = torch.tensor([[1.0, -4.0]])
    torch.testing.assert_close(Cls().build(2)(VECTORS, MASK), expected)
