from __future__ import annotations

import dataclasses
import logging

import pytest
import torch
from torch import Tensor, nn

from tt_hydra.contracts import Feature, Features, History, Kind, Padded, Pooling, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.cls import Cls
from tt_hydra.pooling.last import Last
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.self_attention import AttentionBlock
from tt_hydra.tower.sequence import Sequence
from tt_hydra.tower.spec import Block
from tt_hydra.tower.two_tower import TowerSpec, TwoTower

SPEC = Sequence(hidden_dim=8, heads=2, layers=2, attention_dropout=0.0, dropout=0.0, max_positions=4)
ITEM = SideSchema((Feature(name="id", kind=Kind.CATEGORICAL, size=9),))
HISTORY = SideSchema((Feature(name="history", kind=Kind.HISTORY),))


def encode(rows: list[list[int]], spec: Sequence = SPEC, pooling: Pooling | None = None) -> Tensor:
    torch.manual_seed(0)
    items = torch.randn(10, 5)
    encoder = spec.history_encoder((Block(5),), pooling or Last())
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.5)
    length = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (length - len(row))] for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (length - len(row)) for row in rows])
    with torch.no_grad():
        return encoder.eval()(Padded(ids, mask), items)


def test_order_matters() -> None:
    first, second = encode([[1, 2, 3], [2, 1, 3]])
    assert (first - second).abs().max() > 1e-3


def test_positions_are_counted_from_the_newest() -> None:
    alone, longer = encode([[3, 4]], pooling=Last()), encode([[3, 4], [1, 2]], pooling=Last())
    torch.testing.assert_close(alone[0], longer[0])


def test_causal_positions_do_not_see_newer_ones() -> None:
    first, second = encode([[1, 2, 3], [1, 4, 5]], pooling=Cls())
    torch.testing.assert_close(first, second)
    both = dataclasses.replace(SPEC, causal=False)
    first, second = encode([[1, 2, 3], [1, 4, 5]], both, Cls())
    assert (first - second).abs().max() > 1e-3


def test_items_older_than_the_positions_share_the_last_one() -> None:
    short = dataclasses.replace(SPEC, causal=False)
    first, second = encode([[1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6]], short, Mean())
    torch.testing.assert_close(first, second)
    first, second = encode([[1, 2, 3, 4], [2, 1, 3, 4]], short, Mean())
    assert (first - second).abs().max() > 1e-3


def test_attention_equals_torchs_own() -> None:
    torch.manual_seed(0)
    block, oracle = AttentionBlock(8, 2, 0.0), nn.MultiheadAttention(8, 2, batch_first=True)
    oracle.load_state_dict(
        {
            "in_proj_weight": block.qkv.weight,
            "in_proj_bias": block.qkv.bias,
            "out_proj.weight": block.out.weight,
            "out_proj.bias": block.out.bias,
        }
    )
    vectors, visible = torch.randn(3, 4, 8), torch.ones(4, 4, dtype=torch.bool).tril()
    expected, _ = oracle(vectors, vectors, vectors, attn_mask=~visible)
    torch.testing.assert_close(block._attend(vectors, visible), expected)


def build(spec: TowerSpec) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=spec,
        item=spec,
        schema=Schema(HISTORY, ITEM),
        text_pooling=Mean(),
        history_pooling=Last(),
        embedding_dim=4,
        metric="cosine",
        num_items=7,
    )


def test_a_side_without_history_is_an_mlp_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tt_hydra.tower"):
        model = build(SPEC)
    assert [record.getMessage() for record in caplog.records] == ["item tower: this side has no history: tower=sequence works as mlp here"]
    assert model.state_for("item").keys() == build(Mlp()).state_for("item").keys()


def test_learns_that_the_newest_item_decides() -> None:
    torch.manual_seed(0)
    model = build(SPEC)
    items = Features(7, {"id": torch.arange(2, 9)}, torch.arange(7))
    positions = torch.randint(0, 7, (64, 5))
    queries = Features(64, {"history": History(Padded(positions, torch.ones(64, 5, dtype=torch.bool)), items)})
    wanted = (positions[:, -1] + 1) % 7
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model.embed_queries(queries) @ model.embed_items(items).T / 0.1, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = model.eval().embed_queries(queries) @ model.embed_items(items).T
    assert (scores.argmax(dim=1) == wanted).float().mean() > 0.95


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_dim": 10, "heads": 4}, "does not divide"),
        ({"layers": 0}, "layers is 0"),
        ({"attention_dropout": 1.5}, "attention_dropout"),
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sequence(**wrong)  # type: ignore[arg-type]
