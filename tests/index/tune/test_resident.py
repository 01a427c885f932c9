from __future__ import annotations

import numpy as np

from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.index.tune.resident import resident_bytes
from tt_hydra.quantization.none import NoQuantization


def test_memory_is_read_in_a_process_of_its_own(tmp_path) -> None:
    vectors = np.random.default_rng(0).normal(size=(100_000, 64)).astype(np.float32)
    np.save(tmp_path / "items.npy", vectors)
    build_index(Flat(), NoQuantization(), vectors, "dot").save(tmp_path)
    found = resident_bytes(tmp_path, tmp_path / "items.npy")
    assert found is not None
    assert 0.8 < found / vectors.nbytes < 1.6


def test_what_cannot_be_read_has_no_figure(tmp_path) -> None:
    np.save(tmp_path / "items.npy", np.zeros((2, 2), np.float32))
    assert resident_bytes(tmp_path, tmp_path / "items.npy") is None
