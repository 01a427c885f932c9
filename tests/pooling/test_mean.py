from __future__ import annotations

import torch

from tt_hydra.pooling.mean import Mean

VECTORS = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [2.0, 0.0], [6.0, 1.0]]])
MASK = torch.tensor([[False, True, True, True]])


def test_divides_by_the_real_length() -> None:
    expected = torch.tensor([[3.0, -1.0]])
    torch.testing.assert_close(Mean().build(2)(VECTORS, MASK), expected)


def test_bfloat16_is_summed_in_float32() -> None:
    vectors = torch.ones(1, 1001, 1, dtype=torch.bfloat16)
    assert Mean().build(1)(vectors, torch.ones(1, 1001, dtype=torch.bool)).item() == 1.0
