from __future__ import annotations

import torch

from tt_hydra.pooling.last import Last

VECTORS = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [2.0, 0.0], [6.0, 1.0]]])
MASK = torch.tensor([[False, True, True, True]])


def test_takes_the_last_real_position() -> None:
    expected = torch.tensor([[6.0, 1.0]])
    torch.testing.assert_close(Last().build(2)(VECTORS, MASK), expected)
