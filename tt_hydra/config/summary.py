"""What a checked run comes to, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tt_hydra.component import TARGET, option_of
from tt_hydra.config import signature

Spec = Mapping[str, Any]
SHARING = {True: "shared", False: "not shared", "auto": "shared where both sides have only text"}


def summary(spec: Spec) -> list[tuple[str, str]]:
    """Lines of a name and a text; a component is its option's name with the values that are not the class's own defaults.

    Args:
        spec: of ``RunSettings``, without errors.
    """
    query, item = spec["query_tower"] or spec["tower"], spec["item_tower"] or spec["tower"]
    text, history = spec["text_pooling"] or spec["pooling"], spec["history_pooling"] or spec["pooling"]
    pooling = _component(text) if text == history else f"{_component(text)} for texts, {_component(history)} for histories"
    width = "as wide as their encoder" if spec["embedding_dim"] is None else f"{spec['embedding_dim']} dimensions"
    weights = SHARING[spec["tie"] if query == item else False]
    bias = " and a bias of each item" if spec.get("item_bias") else ""
    return [
        ("data", _component(spec["data"])),
        ("query tower", _component(query)),
        ("item tower", _component(item)),
        ("pooling", pooling),
        ("vectors", f"{width}, {spec['metric']}{bias}, weights {weights}"),
        ("loss", f"{_component(spec['loss'])}, temperature {_component(spec['temperature'])}"),
        ("negatives", f"{_component(spec['negatives'])}, curriculum {_component(spec['curriculum'])}"),
        ("training", f"{_component(spec['optimizer'])}, {_values(spec.get('train', {})) or 'default settings'}"),
        ("index", f"{_component(spec['index'])}, quantization {_component(spec['quantization'])}"),
        ("budget", _values(spec.get("budget", {})) or "none"),
        ("outputs", str(spec["runtime"]["outputs"])),
    ]


def _component(node: Spec) -> str:
    module, _, class_name = str(node[TARGET]).rpartition(".")
    name = class_name.lower() if module.startswith("tt_hydra.train.") else option_of(node)
    values = _values(node)
    return f"{name} ({values})" if values else name


def _values(node: Spec) -> str:
    cls = signature.find_class(str(node.get(TARGET)))
    known = signature.fields(cls) if cls is not None else {}
    changed = {key: value for key, value in node.items() if key != TARGET and (key not in known or _differs(known[key], value))}
    return ", ".join(f"{key}={value}" for key, value in changed.items())


def _differs(field: signature.Field, value: Any) -> bool:
    usual = signature.default(field)
    return usual is not ... and usual != value
