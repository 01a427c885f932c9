from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from tt_hydra.contracts import Feature, Features, Kind, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.cross import CrossLayer, CrossNetwork
from tt_hydra.tower.dcn import Dcn
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower

ITEM = SideSchema((Feature(name="id", kind=Kind.CATEGORICAL, size=6), Feature(name="genre", kind=Kind.CATEGORICAL, size=5)))
QUERY = SideSchema((Feature(name="user", kind=Kind.CATEGORICAL, size=4),))
ROWS = Features(3, {"id": torch.tensor([2, 3, 5]), "genre": torch.tensor([2, 4, 3])})


def build(tower: Any) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=tower,
        item=tower,
        schema=Schema(QUERY, ITEM),
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=3,
        metric="dot",
        num_items=4,
    )


def test_a_cross_layer_by_hand() -> None:
    layer = CrossLayer(2, None)
    layer.expand.weight.data = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    layer.expand.bias.data = torch.tensor([0.5, 3.0])
    first, vectors = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 4.0]])
    # W x + b = [1 + 8 + .5, -4 + 3] = [9.5, -1]; x0 * that = [19, -3]; + x = [20, 1]
    torch.testing.assert_close(layer(first, vectors), torch.tensor([[20.0, 1.0]]))


def test_a_cross_layer_of_rank_one_by_hand() -> None:
    layer = CrossLayer(2, 1)
    layer.reduce.weight.data = torch.tensor([[1.0, -2.0]])
    layer.expand.weight.data = torch.tensor([[3.0], [1.0]])
    layer.expand.bias.data = torch.tensor([0.0, 1.0])
    first, vectors = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 4.0]])
    # V'x = 1 - 8 = -7; U(V'x) + b = [-21, -6]; x0 * that = [-42, -18]; + x = [-41, -14]
    torch.testing.assert_close(layer(first, vectors), torch.tensor([[-41.0, -14.0]]))


def test_two_layers_reach_the_third_degree() -> None:
    network = CrossNetwork(1, 2, None)
    for layer in network.layers:
        layer.expand.weight.data = torch.ones(1, 1)
    values = torch.tensor([[-2.0], [0.5], [3.0]])
    # x1 = x0 x0 + x0; x2 = x0 x1 + x1 = x0^3 + 2 x0^2 + x0
    torch.testing.assert_close(network(values), values**3 + 2 * values**2 + values)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_untrained_it_is_a_factorisation_model_and_every_weight_learns(rank: int | None, structure: Any) -> None:
    plain = build(Mlp(feature_dim=4, dropout=0.0)).eval()
    model = build(Dcn(feature_dim=4, dropout=0.0, rank=rank, structure=structure, hidden_dims=(5,))).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    torch.testing.assert_close(model.embed_items(ROWS), plain.embed_items(ROWS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: weight.clone() for name, weight in model.named_parameters() if ".item." in name}
    torch.manual_seed(1)
    for _ in range(3):
        optimizer.zero_grad()
        (model.embed_items(ROWS) * torch.randn(3, 3)).sum().backward()
        optimizer.step()
    assert all(not torch.equal(weight, before[name]) for name, weight in model.named_parameters() if name in before)


def test_structures_by_hand() -> None:
    for structure in ("parallel", "stacked"):
        tower = build(Dcn(feature_dim=4, dropout=0.0, cross_layers=1, structure=structure, hidden_dims=(5,))).eval().towers["item"]
        torch.manual_seed(2)
        for parameter in tower.parameters():
            parameter.data.normal_()
        joined, head = torch.randn(3, 8), tower.projection
        crossed = head.cross(joined)
        expected = head.linear(crossed) + head.mlp(crossed if structure == "stacked" else joined)
        torch.testing.assert_close(head(joined), expected)
        assert (crossed - joined).abs().max() > 0.1


def test_crosses_see_pairs_of_features_that_a_linear_tower_cannot_tell() -> None:
    """Scores of the exclusive or: +1 where two features agree, -1 where they differ."""
    pairs = Features(4, {"id": torch.tensor([2, 2, 3, 3]), "genre": torch.tensor([2, 3, 2, 3])})
    wanted = torch.tensor([1.0, -1.0, -1.0, 1.0])

    def error(tower: Any) -> float:
        model = build(tower)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            loss = (model.embed_items(pairs)[:, 0] - wanted).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert error(Mlp(feature_dim=4, dropout=0.0)) == pytest.approx(1.0, abs=0.02)
    assert error(Dcn(feature_dim=4, dropout=0.0, cross_layers=1)) < 0.01


def test_a_side_with_one_feature_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tt_hydra.tower"):
        build(Dcn())
    assert [record.getMessage() for record in caplog.records] == [
        "query tower: this side has one feature: tower=dcn multiplies it with itself"
    ]


@pytest.mark.parametrize("field", ["cross_layers", "rank", "feature_dim", "text_buckets", "text_max_words"])
def test_values_below_one_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"tower\.{field} is 0"):
        Dcn(**{field: 0})  # type: ignore[arg-type]


def test_an_unknown_structure_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tower\.structure is 'deep'; allowed: parallel, stacked"):
        Dcn(structure="deep")  # type: ignore[arg-type]
