"""Whether one set of weights serves both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tt_hydra.contracts import Kind, Schema, Side, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.tower.spec import TowerSpec

Tie = bool | Literal["auto"]


def shares_weights(specs: Mapping[Side, TowerSpec], schema: Schema, tie: Tie) -> bool:
    """Resolves ``auto``: tied where both sides have the same tower and the same number of texts, and nothing else.

    Raises:
        ConfigError: ``tie`` is true, and the towers or the features differ.
    """
    same_spec = specs["query"] == specs["item"]
    queries, items = _inputs(schema.query), _inputs(schema.item)
    if tie == "auto":
        return same_spec and queries == items and schema.query.only_text
    if tie and not same_spec:
        raise ConfigError("tie=true shares one tower, but query_tower and item_tower differ; give both the same tower or set tie=false")
    if tie and queries != items:
        raise ConfigError(
            "tie=true shares one tower, so both sides need the same features (texts may have different names); "
            f"the query side has {queries}, the item side {items}; set tie=auto or tie=false"
        )
    return tie


def _inputs(schema: SideSchema) -> list[str]:
    names = (f"{feature.name} ({feature.kind}, {feature.size} codes)" for feature in schema.features if feature.kind is not Kind.TEXT)
    return ["text"] * len(schema.of(Kind.TEXT)) + list(names)
