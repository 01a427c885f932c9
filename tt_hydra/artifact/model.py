"""The towers of a bundle: what they are made of, their weights, and the fingerprint that everything built with them carries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tt_hydra.artifact.keys import fingerprint
from tt_hydra.component import instantiate, spec_of
from tt_hydra.contracts import Feature, Kind, Metric, Pooling, Schema, SideSchema
from tt_hydra.tower.two_tower import Tie, TowerSpec, TwoTower

QUERY_WEIGHTS = "query_tower.safetensors"
ITEM_WEIGHTS = "item_tower.safetensors"
_QUERY_SIDE = "towers.query."


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """All that `TwoTower.build` needs, as a value that goes to JSON and back."""

    query: TowerSpec
    item: TowerSpec
    schema: Schema
    text_pooling: Pooling
    history_pooling: Pooling
    embedding_dim: int | None
    metric: Metric
    num_items: int
    tie: Tie = "auto"
    item_bias: bool = False

    def build(self, assets: Path | None = None) -> TwoTower:
        """Towers with fresh weights; from a folder of `TwoTower.save_assets`, without hub or package, where one is given."""
        arguments = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return TwoTower.build(**arguments, assets=assets)

    def to_json(self) -> dict[str, Any]:
        """Plain values; components as their specs."""
        parts = {name: spec_of(getattr(self, name)) for name in ("query", "item", "text_pooling", "history_pooling")}
        plain = {name: getattr(self, name) for name in ("embedding_dim", "metric", "num_items", "tie")}
        plain |= {"item_bias": True} if self.item_bias else {}  # left out elsewhere: bundles from before it keep their fingerprints
        return {**parts, **plain, "schema": {side: asdict(self.schema.side(side))["features"] for side in ("query", "item")}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], allow: Sequence[str] = ()) -> ModelSpec:
        """The inverse of `to_json`; ``allow`` names module prefixes of components of one's own.

        Raises:
            ConfigError: a component that does not exist here or is not allowed.
        """
        parts = {name: instantiate(value[name], object, allow=allow) for name in ("query", "item", "text_pooling", "history_pooling")}
        sides = {side: SideSchema(tuple(map(_feature, features))) for side, features in value["schema"].items()}
        plain = {name: value[name] for name in ("embedding_dim", "metric", "num_items", "tie")}
        bias = bool(value.get("item_bias", False))
        return cls(**parts, **plain, item_bias=bias, schema=Schema(**sides))  # type: ignore[arg-type]  # components are checked where they are used


def _feature(value: Mapping[str, Any]) -> Feature:
    return Feature(name=value["name"], kind=Kind(value["kind"]), size=value["size"])


def model_fingerprint(towers: TwoTower, spec: ModelSpec, featurizer: str) -> str:
    """32 hex digits over weights, towers, schema, metric and the featurizer's fingerprint: what decides a vector, and nothing else."""
    return fingerprint({"weights": _weights_digest(towers.state_dict()), "spec": spec.to_json(), "featurizer": featurizer})


def _weights_digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_weights(towers: TwoTower, folder: Path) -> None:
    """Writes each side's weights; tied towers have one file, the item side's."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in towers.state_dict().items()}
    query = {name: tensor for name, tensor in state.items() if name.startswith(_QUERY_SIDE)}
    item = {name: tensor for name, tensor in state.items() if name not in query}
    for file, part in ((folder / QUERY_WEIGHTS, query), (folder / ITEM_WEIGHTS, item)):
        if part:
            save_file({name: tensor.clone() for name, tensor in part.items()}, file)
            file.chmod(0o644)  # safetensors leaves it to its owner alone; a service runs as somebody else


def load_weights(towers: TwoTower, folder: Path) -> None:
    """Puts what `save_weights` wrote into towers of the same make.

    Raises:
        RuntimeError: the names or shapes are not those of these towers.
    """
    state: dict[str, Tensor] = {}
    for name in (QUERY_WEIGHTS, ITEM_WEIGHTS):
        if (folder / name).exists():
            state.update(load_file(folder / name))
    towers.load_state_dict(state)
