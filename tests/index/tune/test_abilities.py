"""What the installed FAISS can build is tried, not assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faiss
import pytest

from tt_hydra.index.auto import Auto
from tt_hydra.index.build import build_index
from tt_hydra.index.tune import abilities
from tt_hydra.index.tune.abilities import buildable
from tt_hydra.index.tune.proposals import VectorFacts, propose
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.none import NoQuantization

WIDE = VectorFacts(size=10_000, dim=256, norm_spread=0.0, threads=1)
ALL = list(dict.fromkeys(each for room in (None, 60, 150, 300, 700, 2000) for each in propose(WIDE, Auto(), NoQuantization(), room)))


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    abilities._able.cache_clear()
    yield
    abilities._able.cache_clear()


def test_this_faiss_builds_everything_that_is_proposed(caplog: pytest.LogCaptureFixture) -> None:
    assert {each.codes for each in ALL} >= {"none", "int8", "fp16", "scalar", "pca", "binary", "pq", "opq"}
    assert buildable(ALL) == ALL
    assert not caplog.records


def test_what_it_cannot_build_is_left_out_and_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def without_one_bit_codes(spec: Any, codes: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(codes, Binary):
            raise AttributeError("module 'faiss' has no attribute 'IndexRaBitQ'")
        return build_index(spec, codes, *rest, **more)

    monkeypatch.setattr(abilities, "build_index", without_one_bit_codes)
    left = buildable(ALL)
    assert left == [each for each in ALL if each.codes != "binary"]
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == len(set(told)) > 0
    assert all(f"FAISS {faiss.__version__} cannot build" in each and "IndexRaBitQ" in each for each in told)
