"""Rules within a tower: keys that nothing reads, as another key stands. Pure functions of the settings' spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tt_hydra.component import TARGET
from tt_hydra.config import signature
from tt_hydra.config.nodes import Rule, Spec
from tt_hydra.config.problems import Problem

OF_LAYERS = ("activation", "layer_norm")
OF_ADAPTERS = ("lora_alpha", "lora_dropout", "lora_lr_scale")


def hidden_layers(spec: Spec) -> Iterator[Problem]:
    """What describes hidden layers where there are none."""
    for path, tower in _used(spec):
        if tower.get("hidden_dims"):
            continue
        keys = [*_set(tower, OF_LAYERS), *(["structure"] if tower.get("structure") == "stacked" else [])]
        for key in keys:
            fix = f"name some, as in {path}.hidden_dims=[128], or leave {key} as it is by default"
            yield Problem(f"{path}.{key}", f"has no effect: {path}.hidden_dims=[] are no hidden layers; {fix}", warning=True)


def adapters(spec: Spec) -> Iterator[Problem]:
    """What describes adapters where there are none, and the rate of weights that stay where there are."""
    for path, tower in _used(spec):
        if tower.get("lora_rank") is None:
            for key in _set(tower, OF_ADAPTERS):
                fix = f"set {path}.lora_rank=8, or leave {key} as it is by default"
                yield Problem(f"{path}.{key}", f"has no effect: {path}.lora_rank=null is no adapters; {fix}", warning=True)
        else:
            for key in _set(tower, ("lr_scale",)):
                what = f"has no effect: under {path}.lora_rank={tower['lora_rank']} the encoder's own weights stay"
                yield Problem(f"{path}.{key}", f"{what}; the rate of the adapters is {path}.lora_lr_scale", warning=True)


def _used(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """The towers of the two sides with their paths."""
    for path in dict.fromkeys(name if spec[name] is not None else "tower" for name in ("query_tower", "item_tower")):
        yield path, spec[path]


def _set(tower: Spec, keys: Iterable[str]) -> list[str]:
    """Those keys of a tower of ours that differ from their defaults."""
    cls = signature.find_class(str(tower[TARGET]))
    known = {} if cls is None else signature.fields(cls)
    return [key for key in keys if key in known and key in tower and tower[key] != signature.default(known[key])]


RULES: tuple[Rule, ...] = (hidden_layers, adapters)
"""In the order in which their problems are told."""
