from __future__ import annotations

import logging

import numpy as np
import pytest
from vector_cases import catalogue

from tt_hydra.errors import IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.check import check_pair
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq


@pytest.mark.parametrize("spec", [Flat(), Ivf(), Hnsw()])
@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        (Pq(m=7), "nearest possible m is 8"),
        (Opq(m=25), "nearest possible m is 24"),
        (Pca(dim=25), r"1 \.\. 24"),
        (Pq(bits=8), "needs at least 256 vectors to train, got 100"),
    ],
)
def test_impossible_pairs_are_refused_with_the_nearest_choice(spec: object, quantization: object, message: str) -> None:
    with pytest.raises(IndexSpecError, match=message):
        check_pair(spec, quantization, 24, 100)


def test_what_is_not_known_yet_is_not_checked() -> None:
    check_pair(Flat(), Pq(m=7), None, None)
    check_pair(Ivf(nlist=5000), Pq(bits=8), 24, None)
    with pytest.raises(IndexSpecError, match="m=7"):
        check_pair(Flat(), Pq(m=7), 24, None)
    with pytest.raises(IndexSpecError, match="nlist=5000"):
        check_pair(Ivf(nlist=5000), Pq(m=7), None, 100)


def test_defaults_adapt_to_a_small_catalogue_and_the_log_says_what_it_costs(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        found = build_index(Ivf(), Pq(), catalogue(40), "dot").search(catalogue(40), 3)
    assert (found.rows >= 0).all()
    assert "learns 32 centroids a piece from 40 vectors" in caplog.text


def test_a_refused_pair_reads_no_vector() -> None:
    class Unreadable(np.ndarray):
        def __getitem__(self, key: object) -> object:
            raise AssertionError("read before the check")

    with pytest.raises(IndexSpecError, match="nearest possible m is 8"):
        build_index(Flat(), Pq(m=7), catalogue().view(Unreadable), "dot")
