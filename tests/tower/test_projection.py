from __future__ import annotations

import pytest
import torch

from tt_hydra.errors import ConfigError
from tt_hydra.tower.projection import Projection
from tt_hydra.tower.spec import Block, Head

TEXT, OTHER = Block(3, pretrained=True), Block(2)


def test_hidden_layers_start_as_the_linear_map() -> None:
    torch.manual_seed(0)
    plain = Projection((OTHER, OTHER), 3, Head())
    torch.manual_seed(0)
    deep = Projection((OTHER, OTHER), 3, Head(hidden_dims=(8, 5), layer_norm=True))
    deep.linear.load_state_dict(plain.linear.state_dict())
    vectors = torch.randn(6, 4)
    torch.testing.assert_close(deep(vectors), plain(vectors))


def test_hidden_layers_learn() -> None:
    torch.manual_seed(0)
    deep = Projection((OTHER,), 1, Head(hidden_dims=(16,)))
    vectors = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    wanted = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = torch.optim.Adam(deep.parameters(), lr=0.03)
    for _ in range(300):
        loss = (deep(vectors) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01  # exclusive or: no linear map gets below .25


@pytest.mark.parametrize("layout", [(TEXT, OTHER), (OTHER, TEXT)])
def test_one_pretrained_text_passes_unchanged(layout: tuple[Block, ...]) -> None:
    text, other = torch.randn(4, 3), torch.randn(4, 2)
    parts = [text, other] if layout[0] is TEXT else [other, text]
    torch.testing.assert_close(Projection(layout, 3, Head())(torch.cat(parts, dim=1)), text)


def test_several_pretrained_texts_start_as_their_average() -> None:
    first, second = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(Projection((TEXT, TEXT), 3, Head())(torch.cat([first, second], dim=1)), (first + second) / 2)


def test_another_dimension_cuts_or_fills_with_zeros() -> None:
    text = torch.randn(4, 3)
    torch.testing.assert_close(Projection((TEXT,), 2, Head())(text), text[:, :2])
    torch.testing.assert_close(Projection((TEXT,), 5, Head())(text), torch.cat([text, torch.zeros(4, 2)], dim=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"hidden_dims": (8, 0)}, "hidden_dims"), ({"dropout": 1.0}, "dropout"), ({"activation": "swish"}, "relu, gelu, silu, tanh")],
)
def test_impossible_values_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Head(**wrong)  # type: ignore[arg-type]
