from __future__ import annotations

import torch

from tt_hydra.pooling.max import Max

VECTORS = torch.tensor([[[9.0, 9.0], [1.0, -4.0], [2.0, 0.0], [6.0, 1.0]]])
MASK = torch.tensor([[False, True, True, True]])


def test_takes_each_dimension_from_its_largest_real_position() -> None:
    expected = torch.tensor([[6.0, 1.0]])
    torch.testing.assert_close(Max().build(2)(VECTORS, MASK), expected)


def test_negative_values_beat_the_padding() -> None:
    vectors = torch.tensor([[[-3.0], [-2.0], [5.0]]])
    assert Max().build(1)(vectors, torch.tensor([[True, True, False]])).item() == -2.0
