from __future__ import annotations

import pytest
import torch

from tt_hydra.tower.dropout import dropout, dropout_add_norm, kept


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_is_kept(share: float) -> None:
    torch.manual_seed(0)
    factors = kept(torch.Size((1000, 1001)), share, torch.float32)
    dropped = (factors == 0).double().mean().item()
    assert dropped == pytest.approx(share, abs=5 * (share * (1 - share) / factors.numel()) ** 0.5)
    assert factors.unique().tolist() == pytest.approx([0, 1 / (1 - share)], rel=1e-3)
    lagged = torch.corrcoef(torch.stack([factors.flatten()[:-1], factors.flatten()[1:]]))[0, 1]
    assert abs(lagged) < 0.005


def test_masks_follow_the_seed() -> None:
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(kept(torch.Size((7, 5)), 0.5, torch.float32))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_nothing_is_dropped_at_zero() -> None:
    vectors = torch.randn(3, 4)
    assert dropout(vectors, 0.0) is vectors


def test_residual_and_norm_see_the_dropped_vectors() -> None:
    norm = torch.nn.LayerNorm(6)
    vectors, residual = (torch.randn(5, 6, requires_grad=True) for _ in range(2))
    weights = torch.randn(5, 6)
    torch.manual_seed(1)
    factors = kept(vectors.shape, 0.4, vectors.dtype)
    expected = norm(vectors * factors + residual)
    torch.manual_seed(1)
    result = dropout_add_norm(vectors, residual, norm, 0.4)
    torch.testing.assert_close(result, expected)
    found = torch.autograd.grad((result * weights).sum(), [vectors, residual])
    for gradient, other in zip(found, torch.autograd.grad((expected * weights).sum(), [vectors, residual]), strict=True):
        torch.testing.assert_close(gradient, other)
