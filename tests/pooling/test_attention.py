from __future__ import annotations

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.pooling.attention import Attention
from tt_hydra.pooling.mean import Mean

MASK = torch.tensor([[True, True, True], [False, True, True]])


def test_starts_as_the_mean() -> None:
    vectors = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Attention().build(4)(vectors, MASK), Mean().build(4)(vectors, MASK))


def test_weights_are_a_softmax_of_the_learned_scores() -> None:
    pool = Attention(hidden_dim=1).build(1)
    with torch.no_grad():
        pool.hidden.weight.fill_(1.0)
        pool.hidden.bias.zero_()
        pool.score.weight.fill_(2.0)
    vectors = torch.tensor([[[0.5], [-1.0], [3.0]], [[7.0], [-1.0], [3.0]]])
    first = torch.softmax(2 * torch.tanh(torch.tensor([0.5, -1.0, 3.0])), dim=0) @ torch.tensor([0.5, -1.0, 3.0])
    second = torch.softmax(2 * torch.tanh(torch.tensor([-1.0, 3.0])), dim=0) @ torch.tensor([-1.0, 3.0])
    torch.testing.assert_close(pool(vectors, MASK), torch.stack([first, second])[:, None])


def test_learns_to_pick_one_position() -> None:
    torch.manual_seed(0)
    pool = Attention(hidden_dim=8).build(2)
    vectors = torch.randn(64, 5, 2, generator=torch.Generator().manual_seed(0))
    wanted = vectors[torch.arange(64), vectors[:, :, 0].argmax(dim=1)]
    optimizer = torch.optim.Adam(pool.parameters(), lr=0.05)
    losses = []
    for _ in range(100):
        loss = (pool(vectors, torch.ones(64, 5, dtype=torch.bool)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


def test_width_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pooling.hidden_dim is 0"):
        Attention(hidden_dim=0)
