"""Ready-made vectors: shapes, numbers and ids are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tt_hydra.data.vectors import Vectors
from tt_hydra.errors import DataError


def write(folder: Path, items: Any = None, queries: Any = None, **ids: str) -> str:
    rng = np.random.default_rng(0)
    np.save(folder / "items.npy", rng.random((5, 3), np.float32) if items is None else items)
    np.save(folder / "queries.npy", rng.random((4, 3), np.float32) if queries is None else queries)
    for name, content in ids.items():
        (folder / f"{name}_ids.txt").write_bytes(content.encode())
    return str(folder)


def test_vectors_stay_on_disk_and_ids_are_numbers_by_default(tmp_path: Path) -> None:
    tables = Vectors(path=write(tmp_path, query="a\r\nb\r\nç ç\r\nd\r\n")).read()
    assert tables.vectors is not None
    items, queries = tables.vectors
    assert isinstance(items, np.memmap)
    assert (items.shape, queries.shape, items.dtype) == ((5, 3), (4, 3), np.float32)
    assert tables.items["id"].to_list() == ["0", "1", "2", "3", "4"]
    assert tables.queries["id"].to_list() == ["a", "b", "ç ç", "d"]
    assert len(tables.interactions) == 0
    assert tables.counts == {}


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32_and_zero_vectors_are_counted(tmp_path: Path, dtype: type) -> None:
    tables = Vectors(path=write(tmp_path, items=np.asfortranarray(np.array([[0, 0, 0], [1, 2, 3]], dtype)))).read()
    assert tables.vectors is not None
    assert tables.vectors[0].dtype == np.float32
    assert tables.vectors[0].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert tables.counts == {"zero vectors in items.npy": 1}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"items": np.zeros((2, 4), np.float32)}, "items.npy has dimension 4, queries.npy 3"),
        ({"items": np.zeros((2, 3), np.int64)}, r"items.npy holds int64 of shape \(2, 3\); it must hold floats"),
        ({"items": np.zeros(3, np.float32)}, r"of shape \(3,\)"),
        ({"queries": np.zeros((0, 3), np.float32)}, "at least one row"),
        ({"queries": np.array([[1, 2, 3], [1, np.nan, 3]], np.float32)}, r"queries.npy: row 1 \(from 0\) holds NaN or infinity"),
        ({"queries": np.array([[1e300, 2, 3]])}, r"row 0 \(from 0\) holds NaN or infinity, also once it is float32"),
        ({"items": np.array([["a"]], object)}, "items.npy is no NumPy file of numbers"),
        ({"item": "a\nb\n"}, r"item_ids.txt has 2 line\(s\) for 5 vectors"),
        ({"item": "a\nb\na\nc\nd"}, "item_ids.txt: id 'a' is in rows 1 and 3"),
        ({"item": "a\nb\n\nc\nd\n"}, r"item_ids.txt: 1 row\(s\) have no id, the first is row 3"),
    ],
)
def test_bad_vectors_are_one_clear_error(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vectors(path=write(tmp_path, **arrays)).read()


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no items\.npy; the folder must hold items\.npy and queries\.npy"):
        Vectors(path=str(tmp_path)).read()
