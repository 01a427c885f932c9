from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from bundle_parts import make_parts

from tt_hydra.tower.bridged import Bridged


def test_queries_are_turned_and_items_are_not(tmp_path: Path) -> None:
    one, other = (make_parts(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert one.model is not None
    assert other.model is not None
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    both = Bridged(other.model.towers, one.model.towers, turn).eval()
    with torch.inference_mode():
        queries = other.dataset.last_queries(np.arange(5))
        expected = other.model.towers.embed_queries(queries) @ turn
        torch.testing.assert_close(both.embed_queries(queries), expected)
        torch.testing.assert_close(both.embed_queries(queries).norm(dim=1), torch.ones(5))
        items = one.dataset.items(np.arange(5))
        torch.testing.assert_close(both.embed_items(items), one.model.towers.embed_items(items))
    assert both.tokenizers["item"] is one.model.towers.tokenizers["item"]
    assert (both.dim, both.metric, both.tied) == (16, "cosine", False)
