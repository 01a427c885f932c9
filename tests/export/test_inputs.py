from __future__ import annotations

import numpy as np
import pytest
import torch

from tt_hydra.contracts import Feature, Features, History, Kind, Padded, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.export.inputs import TEXT_VECTORS, Input, example, flatten, inputs_of, unflatten

ITEM = SideSchema(
    (
        Feature(name="title", kind=Kind.TEXT),
        Feature(name="tags", kind=Kind.MULTI, size=5),
        Feature(name="price", kind=Kind.NUMERIC),
        Feature(name="Ü b", kind=Kind.CATEGORICAL, size=9),
    )
)
QUERY = SideSchema((Feature(name="age", kind=Kind.NUMERIC), Feature(name="history", kind=Kind.HISTORY)))
SCHEMA = Schema(QUERY, ITEM)


def padded(*rows: list[int]) -> Padded:
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    return Padded(ids, torch.tensor([[place < len(row) for place in range(length)] for row in rows]))


def items() -> Features:
    values = {"title": padded([3, 4], [5, 0]), "tags": padded([2], []), "price": torch.tensor([[0.5, 0.0], [0.0, 1.0]])}
    return Features(2, {**values, "Ü b": torch.tensor([2, 3])}, torch.tensor([1, 0]))


def test_names_types_and_shapes_of_an_item_tower() -> None:
    found = [(each.name, each.dtype, each.shape) for each in inputs_of(SCHEMA, "item", None)]
    assert found == [
        ("title.ids", "int64", ("rows", "title.length")),
        ("title.mask", "bool", ("rows", "title.length")),
        ("tags.ids", "int64", ("rows", "tags.length")),
        ("tags.mask", "bool", ("rows", "tags.length")),
        ("price", "float32", ("rows", 2)),
        ("Ü b", "int64", ("rows",)),
    ]


def test_a_history_brings_the_features_of_its_items_or_the_vectors_of_their_texts() -> None:
    names = [each.name for each in inputs_of(SCHEMA, "query", None)]
    assert names[:4] == ["age", "history.positions", "history.mask", "history.items.title.ids"]
    ready = inputs_of(SCHEMA, "query", 6)
    assert [each.name for each in ready if "title" in each.name] == []
    assert ready[-1] == Input("history.items.text_vectors", TEXT_VECTORS, Kind.TEXT, "vectors", ("history.items", 6), "history")
    assert inputs_of(SCHEMA, "item", 6) == inputs_of(SCHEMA, "item", None)


def test_arrays_are_the_features() -> None:
    query = Features(2, {"age": torch.tensor([[1.0, 0.0], [2.0, 0.0]]), "history": History(padded([1, 0], []), items())})
    arrays = flatten(query, inputs_of(SCHEMA, "query", 2), np.array([[0.0, 1.0], [2.0, 3.0]], np.float32))
    assert arrays["history.positions"].tolist() == [[1, 0], [0, 0]]
    assert arrays["history.mask"].tolist() == [[True, True], [False, False]]
    assert arrays["history.items.tags.mask"].tolist() == [[True], [False]]
    assert arrays["history.items.text_vectors"].tolist() == [[2.0, 3.0], [0.0, 1.0]]
    assert {name: array.dtype.name for name, array in arrays.items()} == {each.name: each.dtype for each in inputs_of(SCHEMA, "query", 2)}
    with pytest.raises(ValueError, match=r"text_vectors: the text vectors of the catalogue"):
        flatten(query, inputs_of(SCHEMA, "query", 2))


def test_unflatten_is_the_inverse() -> None:
    inputs = inputs_of(SCHEMA, "item", None)
    tensors = {name: torch.from_numpy(array) for name, array in flatten(items(), inputs).items()}
    again = flatten(unflatten(SCHEMA, "item", tensors), inputs)
    assert all(np.array_equal(again[name], tensor.numpy()) for name, tensor in tensors.items())


def test_plain_values_and_back() -> None:
    for each in inputs_of(SCHEMA, "query", 6):
        assert Input.from_json(each.to_json()) == each


def test_an_example_has_another_length_for_each_axis() -> None:
    inputs = inputs_of(SCHEMA, "query", None)
    lengths: dict[str, set[int]] = {}
    for each, tensor in zip(inputs, example(inputs), strict=True):
        for axis, length in zip(each.shape, tensor.shape, strict=True):
            lengths.setdefault(str(axis), set()).add(length)
    assert all(len(found) == 1 for found in lengths.values())
    named = [next(iter(found)) for axis, found in lengths.items() if not axis.isdigit()]
    assert len(set(named)) == len(named)
    assert min(named) >= 2


def test_two_inputs_of_one_name_are_refused() -> None:
    side = SideSchema((Feature(name="title", kind=Kind.TEXT), Feature(name="title.ids", kind=Kind.CATEGORICAL, size=3)))
    with pytest.raises(ConfigError, match=r"'title\.ids'.*rename"):
        inputs_of(Schema(side, ITEM), "query", None)
