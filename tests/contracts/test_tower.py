"""What holds for every tower of the config group, on sides that carry a feature of every kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import tt_hydra
from tt_hydra.component import instantiate, spec_of
from tt_hydra.contracts import Feature, Features, History, Kind, Padded, Schema, SideSchema
from tt_hydra.tower.two_tower import TwoTower

CONF = Path(tt_hydra.__file__).parents[1] / "conf"
NAMES = sorted(path.stem for path in (CONF / "tower").glob("*.yaml"))
POOLINGS = sorted(path.stem for path in (CONF / "pooling").glob("*.yaml"))
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]

ITEM = SideSchema(
    (
        Feature(name="items", kind=Kind.CATEGORICAL, size=12),
        Feature(name="title", kind=Kind.TEXT),
        Feature(name="type", kind=Kind.MULTI, size=6),
        Feature(name="price", kind=Kind.NUMERIC),
    )
)
QUERY = SideSchema(
    (
        Feature(name="text", kind=Kind.TEXT),
        Feature(name="t.hour", kind=Kind.CATEGORICAL, size=26),
        Feature(name="history", kind=Kind.HISTORY),
        Feature(name="age", kind=Kind.NUMERIC),
    )
)
SCHEMA = Schema(QUERY, ITEM)


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tiny_bert")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def make(tiny_bert: str) -> Callable[..., TwoTower]:
    def build(
        name: str,
        pooling: str = "mean",
        embedding_dim: int | None = 8,
        metric: str = "dot",
        seed: int = 0,
        item_bias: bool = False,
        **changes: Any,
    ) -> TwoTower:
        """Towers without dropout, whose weights are all drawn at random: nothing starts at zero, so nothing hides."""
        text = {"bert": {"freeze": "none", "model": tiny_bert}, "static": {"model": tiny_bert}}
        small: dict[str, Any] = dict(text.get(name, {"text_buckets": len(VOCABULARY)}))
        small |= {"attention_dropout": 0.0, "hidden_dim": 8} if name == "sequence" else {}
        spec = dataclasses.replace(component("tower", name), dropout=0.0, feature_dim=4, **small, **changes)
        torch.manual_seed(seed)
        towers = TwoTower.build(
            query=spec,
            item=spec,
            schema=SCHEMA,
            text_pooling=component("pooling", "mean"),
            history_pooling=component("pooling", pooling),
            embedding_dim=embedding_dim,
            metric=metric,  # type: ignore[arg-type]
            item_bias=item_bias,
            num_items=20,
        )
        with torch.no_grad():
            for parameter in towers.parameters():
                parameter.normal_(std=0.5)
        return towers.eval()

    return build


def component(group: str, name: str) -> Any:
    return instantiate(yaml.safe_load((CONF / group / f"{name}.yaml").read_text()), object)


def padded(rows: list[list[int]], left: bool = False, extra: int = 0, filler: int = 0) -> Padded:
    length = max(map(len, rows)) + extra
    ids = torch.full((len(rows), length), filler)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        span = slice(length - len(row), length) if left else slice(0, len(row))
        ids[index, span], mask[index, span] = torch.tensor(row, dtype=torch.int64), True
    return Padded(ids, mask)


def items(**padding: Any) -> Features:
    return Features(
        4,
        {
            "items": torch.tensor([2, 3, 4, 1]),
            "title": padded([[2, 5, 3], [2, 6, 7, 8, 3], [], [2, 9, 3]], **padding),
            "type": padded([[2, 3], [4], [], [5]], **padding),
            "price": torch.tensor([[0.5, 0.0], [-1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]),
        },
        torch.arange(4),
    )


def queries(**padding: Any) -> Features:
    histories = History(padded([[0, 1, 3], [2], []], **padding), items(**padding))
    values = {
        "text": padded([[2, 10, 3], [], [2, 11, 12, 3]], **padding),
        "t.hour": torch.tensor([2, 13, 1]),
        "history": histories,
        "age": torch.tensor([[0.1, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    }
    return Features(3, values)


def changed(features: Features, name: str) -> Features:
    """The first row's value of one feature, changed."""
    value = features.values[name]
    if isinstance(value, History):
        ids = value.positions.ids.clone()
        ids[0, 0] = 2
        other: Any = History(Padded(ids, value.positions.mask), value.items)
    elif isinstance(value, Padded):
        other = Padded(value.ids.clone(), value.mask)
        other.ids[0, 1] = 4
    else:
        other = value.clone()
        other[0] = 5
    return Features(features.size, {**features.values, name: other}, features.rows)


def take(features: Features, row: int) -> Features:
    def one(value: Any) -> Any:
        if isinstance(value, History):
            return History(one(value.positions), value.items)
        return Padded(value.ids[row : row + 1], value.mask[row : row + 1]) if isinstance(value, Padded) else value[row : row + 1]

    return Features(1, {name: one(value) for name, value in features.values.items()})


def test_the_towers_are_there() -> None:
    assert {"mlp", "bert", "sequence", "static", "dcn"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_names_every_field_with_its_default(name: str) -> None:
    written = yaml.safe_load((CONF / "tower" / f"{name}.yaml").read_text())
    assert spec_of(instantiate({"_target_": written["_target_"]}, object)) == written


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metric", ["dot", "cosine"])
def test_vectors_have_the_dimension_and_under_cosine_length_one(make: Callable[..., TwoTower], name: str, metric: str) -> None:
    towers = make(name, metric=metric)
    for vectors, rows in ((towers.embed_queries(queries()), 3), (towers.embed_items(items()), 4)):
        assert vectors.shape == (rows, towers.dim) == (rows, 8)
        assert vectors.dtype == torch.float32
        assert vectors.isfinite().all()
        assert torch.allclose(vectors.norm(dim=1), torch.ones(rows)) == (metric == "cosine")


@pytest.mark.parametrize("name", NAMES)
def test_a_bias_takes_the_last_dimension_and_leaves_the_cosine_of_the_others(make: Callable[..., TwoTower], name: str) -> None:
    plain, biased = make(name), make(name, item_bias=True)
    for embed in ("embed_queries", "embed_items"):
        features = queries() if embed == "embed_queries" else items()
        raw, found = getattr(plain, embed)(features), getattr(biased, embed)(features)
        torch.testing.assert_close(found[:, :-1], raw[:, :-1] / raw[:, :-1].norm(dim=1, keepdim=True))
        torch.testing.assert_close(found[:, -1], torch.ones(len(raw)) if embed == "embed_queries" else raw[:, -1])


@pytest.mark.parametrize("name", NAMES)
def test_no_feature_is_dropped(make: Callable[..., TwoTower], name: str) -> None:
    towers = make(name)
    for embed, features in ((towers.embed_queries, queries()), (towers.embed_items, items())):
        before = embed(features)
        for feature in features.values:
            difference = (embed(changed(features, feature)) - before).abs().sum(dim=1)
            assert difference[0] > 1e-4, feature
            torch.testing.assert_close(difference[1:], torch.zeros(features.size - 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_never_matters(make: Callable[..., TwoTower], name: str, pooling: str) -> None:
    towers = make(name, pooling)
    for padding in ({"left": True}, {"left": False, "extra": 3, "filler": 3}, {"left": True, "extra": 2, "filler": 1}):
        torch.testing.assert_close(towers.embed_queries(queries(**padding)), towers.embed_queries(queries()), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(towers.embed_items(items(**padding)), towers.embed_items(items()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_codes_at_padded_positions_may_be_out_of_range(make: Callable[..., TwoTower], name: str) -> None:
    towers = make(name)
    wild = queries(extra=1, filler=10**9)
    torch.testing.assert_close(towers.embed_queries(wild), towers.embed_queries(queries()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_the_others(make: Callable[..., TwoTower], name: str) -> None:
    towers = make(name)
    for embed, features in ((towers.embed_queries, queries()), (towers.embed_items, items())):
        alone = torch.cat([embed(take(features, row)) for row in range(features.size)])
        torch.testing.assert_close(embed(features), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_weight_gets_a_finite_gradient(make: Callable[..., TwoTower], name: str) -> None:
    towers = make(name, metric="cosine").train()
    (towers.embed_queries(queries()) @ towers.embed_items(items()).T).square().sum().backward()
    missing = [key for key, parameter in towers.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not missing
    assert all(parameter.grad.isfinite().all() for parameter in towers.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_repeat_to_the_bit(make: Callable[..., TwoTower], name: str) -> None:
    def gradients() -> list[Tensor]:
        towers = make(name)
        (towers.embed_queries(queries()) @ towers.embed_items(items()).T).sum().backward()
        return [parameter.grad for parameter in towers.parameters() if parameter.grad is not None]

    assert all(torch.equal(first, second) for first, second in zip(gradients(), gradients(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_state_loads_strictly_into_a_tower_made_from_the_spec(make: Callable[..., TwoTower], name: str) -> None:
    towers, other = make(name), make(name, seed=1)
    assert not torch.equal(other.embed_queries(queries()), towers.embed_queries(queries()))
    other.load_state_dict(towers.state_dict(), strict=True)
    assert torch.equal(other.embed_queries(queries()), towers.embed_queries(queries()))
    assert torch.equal(other.embed_items(items()), towers.embed_items(items()))


@pytest.mark.parametrize("name", NAMES)
def test_a_side_embeds_with_its_own_state_alone(make: Callable[..., TwoTower], name: str) -> None:
    towers, query_only, item_only = make(name), make(name, seed=1), make(name, seed=2)
    query_only.load_state_dict(towers.state_for("query"), strict=False)
    item_only.load_state_dict(towers.state_for("item"), strict=False)
    assert torch.equal(query_only.embed_queries(queries()), towers.embed_queries(queries()))
    assert torch.equal(item_only.embed_items(items()), towers.embed_items(items()))
    assert towers.state_for("query").keys() | towers.state_for("item").keys() == towers.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_optimizer_groups_hold_every_trained_weight_once(make: Callable[..., TwoTower], name: str) -> None:
    towers = make(name)
    groups = towers.parameter_groups(0.1, 0.01)
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert {id(parameter) for parameter in grouped} == {id(parameter) for parameter in towers.parameters() if parameter.requires_grad}
    assert len(grouped) == len(set(map(id, grouped)))
    assert all(group["weight_decay"] == (0.01 if group["params"][0].ndim > 1 else 0.0) for group in groups)


@pytest.mark.parametrize("name", NAMES)
def test_tokenizer_takes_any_text(make: Callable[..., TwoTower], name: str) -> None:
    texts = ["a b", "", "  ", "ünï \u4e2d \U0001f600", "x " * 5000, "a\x00b"]
    for tokenize in make(name).tokenizers.values():
        tokens = tokenize(texts)
        assert len(tokens) == len(texts)
        assert tokens.values.dtype == "int32"
        assert [len(tokens.row(index)) for index in (1, 2)] == [0, 0]
        assert tokens.values.min() >= 0
        assert len(tokenize([])) == 0
