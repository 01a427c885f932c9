from __future__ import annotations

from dataclasses import replace
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


def test_a_turn_keeps_the_dot_products_of_biased_vectors(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    assert parts.model is not None
    towers = replace(parts.model.spec, metric="dot", item_bias=True).build().eval()
    turn = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    with torch.inference_mode():
        queries, items = parts.dataset.last_queries(np.arange(5)), parts.dataset.items(np.arange(5))
        turned = Bridged(towers, towers, turn).eval().embed_queries(queries) @ (towers.embed_items(items) @ turn).T
        torch.testing.assert_close(turned, towers.embed_queries(queries) @ towers.embed_items(items).T)
