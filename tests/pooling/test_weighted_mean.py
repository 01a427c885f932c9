from __future__ import annotations

import torch

from tt_hydra.pooling.weighted_mean import WeightedMean

VECTORS = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [2.0, 0.0], [6.0, 1.0]]])
MASK = torch.tensor([[False, True, True, True]])


def test_weighs_the_ith_of_n_real_positions_by_i() -> None:
    expected = torch.tensor([[(1 + 2 * 2 + 3 * 6) / 6, (-4 + 0 + 3) / 6]])
    torch.testing.assert_close(WeightedMean().build(2)(VECTORS, MASK), expected)
