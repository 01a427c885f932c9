"""Keys of a tower that nothing reads are warnings, where their values are not the defaults."""

from __future__ import annotations

import pytest

ITEM = "tower@item_tower=bert"


@pytest.mark.parametrize("tower", ["mlp", "bert", "static", "sequence", "dcn"])
@pytest.mark.parametrize("key", ["activation=relu", "layer_norm=true"])
def test_what_describes_hidden_layers_wants_some(tower, key, look):
    checked = look(f"tower={tower}", f"tower.{key}")
    name = f"tower.{key.partition('=')[0]}"
    assert [str(problem) for problem in checked.problems] == [
        f"{name}: has no effect: tower.hidden_dims=[] are no hidden layers; name some, as in tower.hidden_dims=[128], or leave "
        f"{name.removeprefix('tower.')} as it is by default"
    ]
    assert checked.errors == ()
    assert look(f"tower={tower}", f"tower.{key}", "tower.hidden_dims=[8]").problems == ()


def test_hidden_layers_on_top_of_crosses_want_some(told):
    assert told("tower=dcn") == []
    assert told("tower=dcn", "tower.structure=stacked", "tower.hidden_dims=[8]") == []
    (problem,) = told("tower=dcn", "tower.structure=stacked")
    assert problem.startswith("tower.structure: has no effect: tower.hidden_dims=[]")


@pytest.mark.parametrize("key", ["lora_alpha=8", "lora_dropout=0", "lora_lr_scale=1"])
def test_what_describes_adapters_wants_a_rank(key, look):
    checked = look(ITEM, f"item_tower.{key}")
    assert [problem.path for problem in checked.problems] == [f"item_tower.{key.partition('=')[0]}"]
    assert checked.errors == ()
    assert "has no effect: item_tower.lora_rank=null is no adapters; set item_tower.lora_rank=8" in str(checked.problems[0])
    assert look(ITEM, f"item_tower.{key}", "item_tower.lora_rank=4").problems == ()


def test_the_rate_of_weights_that_stay_is_not_read(look):
    assert look("tower=bert", "tower.lr_scale=0.1").problems == ()
    assert look("tower=bert", "tower.lora_rank=8").problems == ()
    checked = look("tower=bert", "tower.lora_rank=8", "tower.lr_scale=0.1")
    assert [str(problem) for problem in checked.problems] == [
        "tower.lr_scale: has no effect: under tower.lora_rank=8 the encoder's own weights stay; the rate of the adapters is "
        "tower.lora_lr_scale"
    ]
    assert checked.errors == ()


def test_values_that_are_the_defaults_say_nothing(told):
    assert told("tower.activation=gelu", "tower.layer_norm=false") == []
    assert told("tower=bert", "tower.lora_alpha=16", "tower.lora_dropout=0.05", "tower.lora_lr_scale=0.1") == []


def test_a_side_with_layers_of_its_own_reads_them(told):
    assert told("tower@query_tower=mlp", "tower@item_tower=mlp", "item_tower.hidden_dims=[8]", "item_tower.activation=relu") == []
    (problem,) = told("tower@query_tower=mlp", "tower@item_tower=mlp", "item_tower.hidden_dims=[8]", "query_tower.activation=relu")
    assert problem.startswith("query_tower.activation: has no effect")
