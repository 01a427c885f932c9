from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch

from tt_hydra.contracts import Feature, Features, Kind, Padded, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.two_tower import TowerSpec, TwoTower

TEXT = SideSchema((Feature(name="text", kind=Kind.TEXT),))
TITLE = SideSchema((Feature(name="title", kind=Kind.TEXT),))
TWO_TEXTS = SideSchema((Feature(name="title", kind=Kind.TEXT), Feature(name="body", kind=Kind.TEXT)))
USER = SideSchema((Feature(name="user", kind=Kind.CATEGORICAL, size=5),))
ITEM = SideSchema((Feature(name="item", kind=Kind.CATEGORICAL, size=5),))
SPEC = Mlp(feature_dim=4, text_buckets=50, dropout=0.0)


def build(query: SideSchema, item: SideSchema, item_tower: TowerSpec = SPEC, **more: Any) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=SPEC,
        item=item_tower,
        schema=Schema(query, item),
        text_pooling=Mean(),
        history_pooling=Mean(),
        num_items=3,
        **({"metric": "cosine", "embedding_dim": 3} | more),
    )


def texts(name: str) -> Features:
    return Features(2, {name: Padded(torch.tensor([[1, 2], [3, 4]]), torch.ones(2, 2, dtype=torch.bool))})


@pytest.mark.parametrize(
    ("query", "item", "item_tower", "tied"),
    [
        (TEXT, TITLE, SPEC, True),
        (TEXT, TITLE, Mlp(feature_dim=4, text_buckets=51), False),
        (TEXT, TWO_TEXTS, SPEC, False),
        (USER, USER, SPEC, False),
        (USER, TITLE, SPEC, False),
    ],
)
def test_auto_ties_equal_towers_of_text_alone(query: SideSchema, item: SideSchema, item_tower: TowerSpec, tied: bool) -> None:
    assert build(query, item, item_tower).tied is tied


def test_tied_sides_give_equal_vectors_for_equal_texts_and_share_every_weight() -> None:
    model = build(TEXT, TITLE)
    torch.testing.assert_close(model.embed_queries(texts("text")), model.embed_items(texts("title")))
    assert model.state_for("query").keys() == model.state_for("item").keys() == model.state_dict().keys()


def test_untied_on_request() -> None:
    model = build(TEXT, TITLE, tie=False)
    assert not torch.equal(model.embed_queries(texts("text")), model.embed_items(texts("title")))
    assert not model.state_for("query").keys() & model.state_for("item").keys()


def test_equal_features_are_tied_on_request() -> None:
    assert build(USER, USER, tie=True).tied


@pytest.mark.parametrize(
    ("query", "item", "item_tower", "message"),
    [
        (TEXT, TITLE, Mlp(), "query_tower and item_tower differ"),
        (USER, ITEM, SPEC, r"\['user \(categorical, 5 codes\)'\], the item side \['item"),
        (TEXT, TWO_TEXTS, SPEC, "tie=auto or tie=false"),
    ],
)
def test_impossible_ties_are_refused(query: SideSchema, item: SideSchema, item_tower: TowerSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(query, item, item_tower, tie=True)


def test_a_side_without_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="the query side has no feature"):
        build(SideSchema(()), ITEM)


def test_a_dimension_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="embedding_dim is 0"):
        build(USER, ITEM, embedding_dim=0)


def test_dot_leaves_lengths_alone() -> None:
    vectors = build(USER, ITEM, metric="dot").embed_items(Features(2, {"item": torch.tensor([2, 3])}))
    assert (vectors.norm(dim=1) - 1).abs().min() > 0.1


def test_a_side_without_text_has_a_tokenizer_that_gives_nothing() -> None:
    tokens = build(USER, TITLE).tokenizers["query"](["some", "text"])
    assert (len(tokens), len(tokens.values)) == (2, 0)


def test_vectors_are_float32_under_autocast() -> None:
    model, features = build(USER, ITEM, metric="dot"), Features(2, {"item": torch.tensor([2, 3])})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.embed_items(features).dtype == torch.float32


def test_towers_can_be_sent_to_another_process() -> None:
    model = build(TEXT, TITLE)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.embed_items(texts("title")), model.embed_items(texts("title")))
    again.load_state_dict(model.state_dict())


def test_item_text_vectors_need_a_text() -> None:
    with pytest.raises(ValueError, match="no text"):
        build(TEXT, ITEM).item_text_vectors(Features(1, {"item": torch.tensor([2])}))


def test_components_import_without_transformers() -> None:
    code = "import sys, tt_hydra.tower.bert, tt_hydra.tower.sequence, tt_hydra.tower.two_tower; print('transformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
