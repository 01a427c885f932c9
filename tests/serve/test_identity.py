"""Features of items that are nothing but the id."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tt_hydra.serve.catalogue import Items


@pytest.fixture
def items(tmp_path: Path) -> Items:
    frame = pl.DataFrame({"id": ["7", "8"], "item_id": [7, 8], "code": ["7", "x"], "genres": [["7"], ["8"]]})
    frame.write_parquet(tmp_path / "items.parquet")
    names = ("item_id", "code", "genres")
    bundle = SimpleNamespace(
        manifest=SimpleNamespace(num_items=2),
        folder=tmp_path,
        featurizer=SimpleNamespace(items=[SimpleNamespace(name=name) for name in names]),
        items=frame.select,
    )
    retriever: Any = SimpleNamespace(bundle=bundle, ids=["7", "8"], row_of={"7": 0, "8": 1})
    return Items(retriever)


def test_a_column_is_the_id_where_it_is_in_every_row(items: Items) -> None:
    assert items.identity == ("item_id",)


def test_whoever_writes_an_item_need_not_repeat_its_id(items: Items) -> None:
    assert items.row({"id": "7", "code": "y"}) == {"id": "7", "item_id": 7, "code": "y"}
    assert items.row({"id": "new"}) == {"id": "new", "item_id": None}, "ids of another kind are unknown to the feature"
    assert items.row({"id": "7", "item_id": 8})["item_id"] == 8, "what is given stands"
    assert items.row({"code": "y"}, needs_id=False) == {"id": "new", "code": "y"}


def test_a_row_that_was_written_under_a_version_without_the_feature_is_given_its_id(items: Items) -> None:
    row = {"id": "8", "code": "y", "colour": "of another version"}
    assert items.trimmed(row) == {"id": "8", "item_id": 8, "code": "y"}
    assert items.trimmed({"id": "8", "item_id": None, "vector": [1.0]}) == {"id": "8", "item_id": None, "vector": [1.0]}
