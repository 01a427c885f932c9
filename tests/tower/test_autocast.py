from __future__ import annotations

import pytest
import torch

from tt_hydra.tower.autocast import Precision, autocast


@pytest.mark.parametrize(("precision", "expected"), [("32", torch.float32), ("bf16", torch.bfloat16), ("16", torch.float32)])
def test_a_cpu_computes_in_the_chosen_format_but_never_in_16(precision: Precision, expected: torch.dtype) -> None:
    layer = torch.nn.Linear(2, 2)
    with autocast(torch.device("cpu"), precision):
        assert layer(torch.ones(1, 2)).dtype is expected
