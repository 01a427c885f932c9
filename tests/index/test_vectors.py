from __future__ import annotations

import numpy as np
import pytest
from vector_cases import catalogue

from tt_hydra.errors import IndexSpecError
from tt_hydra.index import vectors
from tt_hydra.index.vectors import Rows, prepared


def test_chunks_are_the_matrix_and_a_bad_row_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 7)
    items = catalogue(30)
    np.save(tmp_path / "items.npy", items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
    np.testing.assert_array_equal(np.concatenate(list(Rows(mapped, "dot").chunks())), items)
    items[16, 0] = np.nan
    with pytest.raises(IndexSpecError, match="from row 14 hold NaN or infinity, first in row 2 of them"):
        list(Rows(items, "dot").chunks())


def test_samples_are_seeded_and_without_repeats() -> None:
    rows = Rows(np.arange(100, dtype=np.float32)[:, None], "dot")
    sample = rows.sample(30, 1)
    np.testing.assert_array_equal(sample, rows.sample(30, 1))
    assert len(np.unique(sample)) == 30
    assert not np.array_equal(sample, rows.sample(30, 2))
    np.testing.assert_array_equal(rows.sample(100, 1)[:, 0], np.arange(100))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_normalising_survives_extreme_norms(scale: float) -> None:
    values = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32) * np.float32(scale)
    np.testing.assert_allclose(prepared(values, "cosine", "rows"), [[0.6, 0.8], [0, 0]], rtol=1e-6)
