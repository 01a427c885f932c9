from __future__ import annotations

import pytest
from vector_cases import catalogue

from tt_hydra.config.compose import compose, make_loader
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.storage import bytes_on_disk
from tt_hydra.index.tune.candidates import Candidate
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.fp16 import Fp16
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.opq import Opq
from tt_hydra.quantization.pca import Pca
from tt_hydra.quantization.pq import Pq
from tt_hydra.quantization.scalar import Scalar

SIZE, DIM = 3000, 24
CODES = [
    NoQuantization(),
    Fp16(),
    Int8(),
    Scalar(),
    Scalar(bits=4),
    Pca(dim=10),
    Pca(dim=10, store="int8"),
    Pq(m=6, bits=6),
    Opq(m=5, bits=6, iterations=1),
    Binary(refine=0),
]


@pytest.mark.parametrize("codes", CODES, ids=lambda codes: type(codes).__name__)
@pytest.mark.parametrize("spec", [Flat(), Ivf(nlist=30), Hnsw(M=8, efConstruction=20)], ids=lambda spec: type(spec).__name__)
def test_the_size_is_known_before_the_build(spec, codes, tmp_path) -> None:
    candidate = Candidate(spec, codes)
    build_index(spec, codes, catalogue(SIZE, DIM), "dot").save(tmp_path)
    measured = bytes_on_disk(tmp_path) / SIZE
    assert candidate.bytes_per_item(SIZE, DIM) == pytest.approx(measured, rel=0.04)


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(Ivf(nlist=30, nprobe=7), Scalar(bits=4)),
        Candidate(Hnsw(M=8, efConstruction=20, efSearch=33, threads=2), NoQuantization()),
        Candidate(Flat(), Pq(m=6, bits=6, refine=3), 8),
    ],
    ids=lambda candidate: candidate.name(),
)
def test_its_overrides_compose_to_the_very_same_index(candidate) -> None:
    config, problems = compose(make_loader([]), "run", candidate.overrides().split())
    assert not problems
    for node, part in (("index", candidate.spec), ("quantization", candidate.quantization)):
        values = {key: value for key, value in config[node].items() if key != "_target_"}
        assert type(part)(**values) == part
    assert config.prefix_dim == candidate.prefix_dim


def test_tuned_parameters_become_its_own() -> None:
    tuned = Candidate(Ivf(nlist=30), Binary(refine=10)).tuned({"nprobe": 5, "refine": 3})
    assert (tuned.spec, tuned.quantization) == (Ivf(nlist=30, nprobe=5), Binary(refine=3))
    assert Candidate(Flat(), NoQuantization()).tuned({"refine": 0}).quantization == NoQuantization()


def test_finer_codes_of_one_kind_find_no_less() -> None:
    int8 = Candidate(Flat(), Int8())
    assert int8.finer(Candidate(Flat(), Scalar(bits=6)))
    assert Candidate(Flat(), Scalar(bits=6)).finer(Candidate(Flat(), Scalar(bits=4)))
    for other in (
        int8,
        Candidate(Flat(), Fp16()),
        Candidate(Ivf(nlist=3), Scalar()),
        Candidate(Flat(), Pca(dim=3)),
        Candidate(Flat(), Scalar(), 8),
    ):
        assert not int8.finer(other)
    assert not int8.finer(Candidate(Flat(), Binary(refine=10))), "the full vectors put its results in order"
