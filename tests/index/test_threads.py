from __future__ import annotations

import faiss
import pytest

from tt_hydra.index.threads import codebook_training, single_thread, threads


def test_settings_hold_inside_the_block() -> None:
    with threads(2):
        with single_thread():
            assert faiss.omp_get_max_threads() == 1
        assert faiss.omp_get_max_threads() == 2


def test_settings_come_back_after_an_error() -> None:
    def settings() -> tuple[int, int]:
        return faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold

    def fail() -> None:
        with threads(3), codebook_training():
            assert settings() == (1, 20)
            raise KeyError

    before = settings()
    with pytest.raises(KeyError):
        fail()
    assert settings() == before
