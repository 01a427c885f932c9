from __future__ import annotations

from typing import Any

import pytest
import torch

from tt_hydra.contracts import Feature, Features, History, Kind, Padded, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TwoTower

SCHEMA = Schema(
    SideSchema((Feature(name="user", kind=Kind.CATEGORICAL, size=4), Feature(name="history", kind=Kind.HISTORY))),
    SideSchema((Feature(name="item", kind=Kind.CATEGORICAL, size=6),)),
)


def towers() -> TwoTower:
    return build(Mlp(feature_dim=2, dropout=0.0))


def build(spec: Mlp, schema: Schema = SCHEMA, embedding_dim: int | None = None) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=spec,
        item=spec,
        schema=schema,
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=embedding_dim,
        metric="dot",
        num_items=4,
    )


def test_dimension_defaults_to_the_feature_width() -> None:
    assert towers().dim == 2


def test_a_linear_tower_is_a_factorisation_model_over_shared_item_vectors() -> None:
    model = towers()
    state = model.state_dict()
    item_table = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [5.0, 5.0]])
    user_table = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 20.0], [0.0, 0.0]])
    state |= {
        "towers.item.features.encoders.0.weight": item_table,
        "towers.item.projection.linear.weight": torch.eye(2),
        "towers.query.features.encoders.0.weight": user_table,
        "towers.query.histories.0.map.weight": 2 * torch.eye(2),
        "towers.query.projection.linear.weight": torch.cat([torch.eye(2), torch.eye(2)], dim=1),
    }
    model.load_state_dict(state)
    items = Features(3, {"item": torch.tensor([2, 3, 4])}, torch.arange(3))
    history = History(Padded(torch.tensor([[0, 2], [1, 0]]), torch.tensor([[True, True], [True, False]])), items)
    queries = Features(2, {"user": torch.tensor([2, 1]), "history": history})
    vectors = model.eval().embed_queries(queries)
    # user vector + 2 x mean of the history's item vectors
    torch.testing.assert_close(vectors, torch.tensor([[10 + 3.0, 20 + 2.0], [0.0, 2.0]]))
    torch.testing.assert_close(model.embed_items(items), item_table[2:5])


def test_added_up_a_query_is_its_own_vector_plus_the_mean_of_its_items() -> None:
    model = build(Mlp(feature_dim=2, dropout=0.0, join="sum"))
    item_table = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [5.0, 5.0]])
    user_table = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 20.0], [0.0, 0.0]])
    assert set(model.state_dict()) == {f"towers.{side}.features.encoders.0.weight" for side in ("query", "item")}
    model.load_state_dict({"towers.item.features.encoders.0.weight": item_table, "towers.query.features.encoders.0.weight": user_table})
    items = Features(3, {"item": torch.tensor([2, 3, 4])}, torch.arange(3))
    history = History(Padded(torch.tensor([[0, 2], [1, 0]]), torch.tensor([[True, True], [True, False]])), items)
    vectors = model.embed_queries(Features(2, {"user": torch.tensor([2, 1]), "history": history}))
    torch.testing.assert_close(vectors, torch.tensor([[10 + 1.5, 20 + 1.0], [0.0, 1.0]]))
    torch.testing.assert_close(model.embed_items(items), item_table[2:5])


def test_added_up_a_history_pools_what_an_item_is_with_all_its_features() -> None:
    item = SideSchema((Feature(name="item", kind=Kind.CATEGORICAL, size=6), Feature(name="kind", kind=Kind.CATEGORICAL, size=4)))
    model = build(Mlp(feature_dim=2, dropout=0.0, join="sum"), Schema(SideSchema((Feature(name="history", kind=Kind.HISTORY),)), item))
    items = Features(2, {"item": torch.tensor([2, 3]), "kind": torch.tensor([3, 2])}, torch.arange(2))
    history = History(Padded(torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)), items)
    torch.testing.assert_close(model.embed_queries(Features(1, {"history": history})), model.embed_items(items).mean(dim=0, keepdim=True))


def test_what_is_added_up_has_the_shared_dimension() -> None:
    with pytest.raises(ConfigError, match=r"tower\.feature_dim=3"):
        build(Mlp(feature_dim=2, join="sum"), embedding_dim=3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"join": "sum", "hidden_dims": (4,)}, r"hidden_dims=\[4\]"), ({"join": "product"}, "allowed: project, sum")],
)
def test_impossible_joins_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mlp(**wrong)


def test_a_history_trains_the_items_table() -> None:
    model = towers()
    items = Features(1, {"item": torch.tensor([4])}, torch.zeros(1, dtype=torch.int64))
    history = History(Padded(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.bool)), items)
    model.embed_queries(Features(1, {"user": torch.tensor([2]), "history": history})).sum().backward()
    gradient = model.towers["item"].features.encoders[0].weight.grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize("field", ["feature_dim", "text_buckets", "text_max_words"])
def test_values_below_one_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"tower\.{field} is 0"):
        Mlp(**{field: 0})  # type: ignore[arg-type]
