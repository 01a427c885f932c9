from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tt_hydra.contracts import Feature, Features, Kind, Padded, Ragged, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.lora import plain_state, training
from tt_hydra.tower.two_tower import TwoTower

pytest.importorskip("peft")

Pad = Callable[[Ragged], Padded]
TEXT = SideSchema((Feature(name="text", kind=Kind.TEXT),))
MIXED = SideSchema((Feature(name="text", kind=Kind.TEXT), Feature(name="id", kind=Kind.CATEGORICAL, size=7)))
TEXTS = ["a b c", "", "z", "q r s t u v w x y"]


def build(folder: Path, item: SideSchema = TEXT, dim: int | None = None, assets: Path | None = None, **changes: Any) -> TwoTower:
    torch.manual_seed(0)
    spec = Bert(**{"model": str(folder), "query_max_length": 16, "item_max_length": 16, "dropout": 0.0, "lora_rank": 2, **changes})
    return TwoTower.build(
        query=spec,
        item=spec,
        schema=Schema(TEXT, item),
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=dim,
        metric="cosine",
        num_items=4,
        assets=assets,
    )


def embed(towers: TwoTower, pad: Pad) -> torch.Tensor:
    with torch.no_grad():
        return towers.eval().embed_queries(Features(4, {"text": pad(towers.tokenizers["query"](TEXTS))}))


def learn(towers: TwoTower, pad: Pad, steps: int = 3) -> None:
    """Steps that move the vectors far, over all that is trained."""
    optimizer = torch.optim.AdamW(towers.parameter_groups(0.3, 0.0))
    tokens = pad(towers.tokenizers["query"](TEXTS))
    directions = torch.randn(4, towers.dim, generator=torch.Generator().manual_seed(3))
    for _ in range(steps):
        optimizer.zero_grad()
        (towers.train().embed_queries(Features(4, {"text": tokens})) * directions).sum().backward()
        optimizer.step()


def own_weights(towers: TwoTower) -> dict[str, torch.Tensor]:
    return {name.replace(".base_layer", ""): weight.clone() for name, weight in towers.named_parameters() if ".lora_" not in name}


def test_adapters_start_at_nothing_and_are_all_that_is_trained(tiny_bert: Path, pad: Pad) -> None:
    plain, towers = build(tiny_bert, lora_rank=None), build(tiny_bert)
    assert not any(parameter.requires_grad for parameter in towers.parameters()), "without adapters there is nothing to train"
    before = own_weights(towers)
    with training(towers, seed=0):
        torch.testing.assert_close(embed(towers, pad), embed(plain, pad))
        trained = {name for name, parameter in towers.named_parameters() if parameter.requires_grad}
        linear = [name for name, _ in plain.named_parameters() if ".layer." in name and name.endswith("weight") and "LayerNorm" not in name]
        assert len(linear) == 3 * 6
        ends = [f"{name.removesuffix('.weight')}.lora_{part}.default.weight" for name in linear for part in "AB"]
        assert trained == set(ends)
        learn(towers, pad)
        assert all(torch.equal(weight, before[name]) for name, weight in own_weights(towers).items())
        assert (embed(towers, pad) - embed(plain, pad)).abs().max() > 0.05


def test_a_merged_encoder_gives_what_its_adapters_gave(tiny_bert: Path, pad: Pad) -> None:
    towers, plain = build(tiny_bert), build(tiny_bert, lora_rank=None)
    with training(towers, seed=0):
        learn(towers, pad)
        adapted, state = embed(towers, pad), plain_state(towers)
        assert any(".lora_A." in name for name in towers.state_dict())
        torch.testing.assert_close(embed(towers, pad), adapted, atol=0, rtol=0)
    assert state.keys() == plain.state_dict().keys() == towers.state_dict().keys()
    for merged in (towers, plain):
        merged.load_state_dict(state if merged is plain else merged.state_dict())
        torch.testing.assert_close(embed(merged, pad), adapted, atol=1e-5, rtol=1e-5)
    assert all(type(module).__module__.split(".")[0] != "peft" for module in towers.modules())
    torch.testing.assert_close(dict(towers.state_dict()), dict(state))


def test_a_weight_by_hand(tiny_bert: Path) -> None:
    towers = build(tiny_bert, lora_alpha=6.0)
    name = "towers.item.features.text.encoder.encoder.layer.1.output.dense"
    before = towers.get_submodule(name).weight.clone()
    with training(towers, seed=0):
        module = towers.get_submodule(name)
        torch.nn.init.normal_(module.lora_B["default"].weight)
        first, second = (module.get_parameter(f"lora_{part}.default.weight").detach().clone() for part in "AB")
        expected = before + 6.0 / 2 * second @ first
        torch.testing.assert_close(plain_state(towers)[f"{name}.weight"], expected)
    torch.testing.assert_close(towers.get_submodule(name).weight, expected)


def test_lower_layers_may_go_without_and_rates_are_the_adapters_own(tiny_bert: Path) -> None:
    towers = build(tiny_bert, item=MIXED, freeze=2, lora_lr_scale=0.5, lr_scale=0.01)
    with training(towers, seed=0):
        adapted = {name.split(".layer.")[1][0] for name, _ in towers.named_parameters() if ".lora_" in name}
        assert adapted == {"2"}
        rates = {id(parameter): group["lr"] for group in towers.parameter_groups(2.0, 0.0) for parameter in group["params"]}
        named = {name: rates[id(parameter)] for name, parameter in towers.named_parameters() if parameter.requires_grad}
        assert {rate for name, rate in named.items() if ".lora_" in name} == {1.0}
        assert {rate for name, rate in named.items() if ".lora_" not in name} == {2.0}, "projection and tables"


def test_text_among_other_features_gets_adapters_too(tiny_bert: Path) -> None:
    towers = build(tiny_bert, item=MIXED)
    assert towers.item_text_changes is False
    assert towers.needs_item_text is False
    with training(towers, seed=0):
        assert any(".lora_" in name for name, _ in towers.towers["item"].named_parameters())


def test_adapters_are_drawn_by_the_seed(tiny_bert: Path) -> None:
    def drawn(seed: int, noise: int) -> torch.Tensor:
        towers = build(tiny_bert)
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        with training(towers, seed):
            assert torch.equal(torch.get_rng_state(), before)
            return torch.cat([weight.detach().flatten() for name, weight in towers.named_parameters() if ".lora_A." in name])

    assert torch.equal(drawn(1, 5), drawn(1, 6))
    assert not torch.equal(drawn(1, 5), drawn(2, 5))


def test_an_interrupted_training_leaves_a_plain_encoder(tiny_bert: Path) -> None:
    towers = build(tiny_bert)
    names = set(towers.state_dict())
    with pytest.raises(KeyboardInterrupt), training(towers, seed=0):
        raise KeyboardInterrupt
    assert set(towers.state_dict()) == names


def test_a_served_model_knows_no_peft(tiny_bert: Path, tmp_path: Path, pad: Pad, monkeypatch: pytest.MonkeyPatch) -> None:
    towers = build(tiny_bert)
    with training(towers, seed=0):
        learn(towers, pad)
    towers.save_assets(tmp_path)
    monkeypatch.setitem(sys.modules, "peft", None)
    again = build(tmp_path / "gone", assets=tmp_path)
    again.load_state_dict(towers.state_dict())
    assert torch.equal(embed(again, pad), embed(towers, pad))
    with pytest.raises(ConfigError, match=r"needs the package peft, .*tt-hydra\[lora\]"), training(again, seed=0):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": 0}, r"tower\.lora_rank is 0"),
        ({"lora_alpha": 0.0}, r"tower\.lora_alpha is 0"),
        ({"lora_dropout": 1.0}, r"tower\.lora_dropout is 1"),
        ({"lora_lr_scale": 2.0}, r"tower\.lora_lr_scale is 2"),
        ({"lora_rank": 4, "freeze": "all"}, r"freeze=all keeps every layer"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Bert(**changes)


def test_freezing_every_layer_by_number_leaves_no_adapters(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match=r"tower\.freeze=3 keeps every layer"):
        build(tiny_bert, freeze=3)
