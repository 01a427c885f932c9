"""A tower's inputs as flat named arrays: what a graph that knows no nested features takes.

By feature ``NAME``: a text or a multi-valued feature is ``NAME.ids`` and ``NAME.mask``; a categorical or numeric one is ``NAME``; a
history is ``NAME.positions`` and ``NAME.mask``, which number the rows of its items' features, ``NAME.items.FEATURE...``. Where the
items' texts have a pretrained encoder, a history reads their vectors, ``NAME.items.text_vectors``, as it does in the towers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tt_hydra.contracts import Feature, Features, FloatArray, History, Kind, Padded, Schema, Side, SideSchema
from tt_hydra.errors import ConfigError

TEXT_VECTORS = "text_vectors"
"""Name of the items' text vectors among the features of a history's items."""

Part = Literal["ids", "mask", "value", "positions", "vectors"]
Arrays = dict[str, npt.NDArray[np.generic]]
_TYPES: dict[Part, str] = {"ids": "int64", "positions": "int64", "mask": "bool", "value": "int64", "vectors": "float32"}
_PADDED = (Kind.TEXT, Kind.MULTI)


@dataclass(frozen=True, slots=True)
class Input:
    """One flat input.

    Attributes:
        name: in the graph.
        feature: that it belongs to.
        kind: of the feature.
        part: of the feature.
        shape: a name for an axis whose length may change, a number for a fixed one.
        history: the history whose items it describes, or None.
    """

    name: str
    feature: str
    kind: Kind
    part: Part
    shape: tuple[str | int, ...]
    history: str | None = None

    @property
    def dtype(self) -> str:
        """Its type in numpy's words."""
        return "float32" if self.kind is Kind.NUMERIC else _TYPES[self.part]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in ("name", "feature", "kind", "part", "dtype", "shape", "history")}
        return {**plain, "kind": str(self.kind), "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Input:
        """The inverse of ``to_json``."""
        names = ("name", "feature", "part", "history")
        return cls(**{name: value[name] for name in names}, kind=Kind(value["kind"]), shape=tuple(value["shape"]))


def inputs_of(schema: Schema, side: Side, text_width: int | None) -> tuple[Input, ...]:
    """The flat inputs of one side's tower, in the order of its features.

    Args:
        schema: features of both sides.
        side: whose tower.
        text_width: width of the items' text vectors where histories read them ready-made; None where they read token ids.

    Raises:
        ConfigError: two inputs would have one name.
    """
    found = tuple(_Walk(schema.item, text_width).over(schema.side(side)))
    for name, count in Counter(each.name for each in found).items():
        if count > 1:
            raise ConfigError(f"two inputs of the {side} tower would be called {name!r}: rename the feature {name.partition('.')[0]!r}")
    return found


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk over the features of a side and of the items in its histories."""

    items: SideSchema
    text_width: int | None

    def over(self, side: SideSchema, prefix: str = "", rows: str = "rows", history: str | None = None) -> Iterator[Input]:
        for feature in side.features:
            name = prefix + feature.name
            if feature.kind is Kind.HISTORY:
                yield from self._history(feature, name, rows)
            elif feature.kind in _PADDED and not (feature.kind is Kind.TEXT and history is not None and self.text_width is not None):
                length = f"{name}.length"
                yield Input(f"{name}.ids", feature.name, feature.kind, "ids", (rows, length), history)
                yield Input(f"{name}.mask", feature.name, feature.kind, "mask", (rows, length), history)
            elif feature.kind not in _PADDED:
                shape = (rows, 2) if feature.kind is Kind.NUMERIC else (rows,)
                yield Input(name, feature.name, feature.kind, "value", shape, history)

    def _history(self, feature: Feature, name: str, rows: str) -> Iterator[Input]:
        yield Input(f"{name}.positions", feature.name, feature.kind, "positions", (rows, f"{name}.length"))
        yield Input(f"{name}.mask", feature.name, feature.kind, "mask", (rows, f"{name}.length"))
        yield from self.over(self.items, f"{name}.items.", f"{name}.items", feature.name)
        if self.text_width is not None:
            shape = (f"{name}.items", self.text_width)
            yield Input(f"{name}.items.{TEXT_VECTORS}", TEXT_VECTORS, Kind.TEXT, "vectors", shape, feature.name)


def flatten(features: Features, inputs: Sequence[Input], item_text: FloatArray | None = None) -> Arrays:
    """Encoded features of some rows as the arrays of ``inputs``, by name.

    Args:
        features: rows of the tower's side, padding at the end of each row.
        inputs: of that tower.
        item_text: ``(num_items, width)`` text vectors of the catalogue, where a history reads them.

    Raises:
        ValueError: a history reads text vectors, and none are given or its items are not those of the catalogue.
    """
    return {each.name: _array(features, each, item_text) for each in inputs}


def _array(features: Features, wanted: Input, item_text: FloatArray | None) -> npt.NDArray[np.generic]:
    if wanted.history is not None:
        features = cast(History, features.values[wanted.history]).items
    if wanted.part == "vectors":
        if item_text is None or features.rows is None:
            raise ValueError(f"{wanted.name}: the text vectors of the catalogue are needed")
        return np.ascontiguousarray(item_text[features.rows.numpy()], np.float32)
    value = features.values[wanted.feature]
    if isinstance(value, Tensor):
        return value.numpy()
    padded = value.positions if isinstance(value, History) else value
    return (padded.mask if wanted.part == "mask" else padded.ids).numpy()


def unflatten(schema: Schema, side: Side, tensors: Mapping[str, Tensor]) -> Features:
    """The features that flat inputs stand for; the inverse of ``flatten``, for tensors that are being traced."""
    return _features(schema, schema.side(side), "", tensors)


def _features(schema: Schema, side: SideSchema, prefix: str, tensors: Mapping[str, Tensor]) -> Features:
    values: dict[str, Tensor | Padded | History] = {}
    for feature in side.features:
        name = prefix + feature.name
        if feature.kind is Kind.HISTORY:
            items = _features(schema, schema.item, f"{name}.items.", tensors)
            values[feature.name] = History(Padded(tensors[f"{name}.positions"], tensors[f"{name}.mask"]), items)
        elif f"{name}.ids" in tensors and feature.kind in _PADDED:
            values[feature.name] = Padded(tensors[f"{name}.ids"], tensors[f"{name}.mask"])
        elif name in tensors:
            values[feature.name] = tensors[name]
    if f"{prefix}{TEXT_VECTORS}" in tensors:
        values[TEXT_VECTORS] = tensors[f"{prefix}{TEXT_VECTORS}"]
    return Features(0, values)


def example(inputs: Sequence[Input]) -> tuple[Tensor, ...]:
    """Tensors to trace a tower with: every axis whose length may change has another one, of at least 2; all positions are real."""
    lengths: dict[str, int] = {}
    for axis in (axis for each in inputs for axis in each.shape if isinstance(axis, str)):
        lengths.setdefault(axis, len(lengths) + 3)
    shapes = [[axis if isinstance(axis, int) else lengths[axis] for axis in each.shape] for each in inputs]
    types = [getattr(torch, each.dtype) for each in inputs]
    return tuple(
        (torch.ones if each.part == "mask" else torch.zeros)(shape, dtype=kind)
        for each, shape, kind in zip(inputs, shapes, types, strict=True)
    )
