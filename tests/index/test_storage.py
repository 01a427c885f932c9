from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from vector_cases import catalogue, questions

from tt_hydra.errors import BundleError, IndexSpecError
from tt_hydra.index.build import build_index
from tt_hydra.index.flat import Flat
from tt_hydra.index.hnsw import Hnsw
from tt_hydra.index.ivf import Ivf
from tt_hydra.index.storage import FAISS_FILE, HEADER_FILE, bytes_on_disk, load_index
from tt_hydra.quantization.binary import Binary
from tt_hydra.quantization.int8 import Int8
from tt_hydra.quantization.none import NoQuantization
from tt_hydra.quantization.pq import Pq


def saved(folder: Path, spec: object = Flat(), codes: object = NoQuantization()) -> Path:
    build_index(spec, codes, catalogue(300), "dot").save(folder)
    return folder


def test_search_parameters_come_from_our_file_not_from_inside_faiss(tmp_path) -> None:
    saved(tmp_path, Ivf(nprobe=2))
    header = json.loads((tmp_path / HEADER_FILE).read_text())
    header["search_params"] = {"nprobe": 7}
    (tmp_path / HEADER_FILE).write_text(json.dumps(header))
    index = load_index(tmp_path)
    assert index.search_params == {"nprobe": 7}
    np.testing.assert_array_equal(
        index.search(questions(), 5).rows, build_index(Ivf(nprobe=7), NoQuantization(), catalogue(300), "dot").search(questions(), 5).rows
    )


@pytest.mark.parametrize("spec", [Flat(), Ivf(), Hnsw(M=8)])
@pytest.mark.parametrize("codes", [NoQuantization(), Pq(bits=4), Binary()])
def test_a_damaged_faiss_file_is_refused_by_name(spec: object, codes: object, tmp_path) -> None:
    file = saved(tmp_path, spec, codes) / FAISS_FILE
    whole = file.read_bytes()
    for size in (0, 3, 20, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(BundleError, match=FAISS_FILE):
            load_index(tmp_path)
    file.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(BundleError, match=FAISS_FILE):
        load_index(tmp_path)
    file.unlink()
    with pytest.raises(BundleError, match=FAISS_FILE):
        load_index(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"format": 99}', '{"format": 1}', '{"format": 1, "index": {"_target_": "os.system"}}', "\x00"]
)
def test_a_damaged_header_is_refused_by_name(content: str, tmp_path) -> None:
    (saved(tmp_path) / HEADER_FILE).write_text(content)
    with pytest.raises(BundleError, match=HEADER_FILE):
        load_index(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("metric", "l2"),
        ("size", "many"),
        ("search_params", 3),
        ("prefix_dim", 24),
        ("prefix_dim", "8"),
        ("index", {"_target_": "tt_hydra.quantization.none.NoQuantization"}),
    ],
)
def test_a_header_with_a_wrong_value_is_refused_by_name(key: str, value: object, tmp_path) -> None:
    header = json.loads((saved(tmp_path) / HEADER_FILE).read_text())
    (tmp_path / HEADER_FILE).write_text(json.dumps(header | {key: value}))
    with pytest.raises(BundleError, match=HEADER_FILE):
        load_index(tmp_path)


def test_an_index_that_was_saved_before_there_were_prefixes_loads(tmp_path) -> None:
    header = json.loads((saved(tmp_path) / HEADER_FILE).read_text())
    del header["prefix_dim"]
    (tmp_path / HEADER_FILE).write_text(json.dumps(header))
    assert load_index(tmp_path).prefix_dim is None


def test_files_of_two_indexes_are_refused(tmp_path) -> None:
    header = json.loads((saved(tmp_path) / HEADER_FILE).read_text())
    (tmp_path / HEADER_FILE).write_text(json.dumps(header | {"size": 299}))
    with pytest.raises(BundleError, match="belong to different indexes"):
        load_index(tmp_path)


def test_rescoring_needs_the_vectors_and_says_so(tmp_path) -> None:
    index = load_index(saved(tmp_path, codes=Int8(refine=4)))
    with pytest.raises(IndexSpecError, match="refine rescores with the full vectors"):
        index.search(questions(), 5)
    assert (index.search(questions(), 5, params={"refine": 0}).rows >= 0).all()
    with pytest.raises(IndexSpecError, match=r"shape \(299, 24\)"):
        load_index(tmp_path, catalogue(299))


def test_bytes_are_those_of_the_files_and_of_the_vectors_only_where_searches_read_them(tmp_path) -> None:
    np.save(tmp_path / "items.npy", catalogue(300))
    own = sum((saved(tmp_path, codes=Int8()) / name).stat().st_size for name in (HEADER_FILE, FAISS_FILE))
    assert bytes_on_disk(tmp_path, tmp_path / "items.npy") == bytes_on_disk(tmp_path) == own
    assert 300 * 24 < own < 300 * 24 + 2000
    saved(tmp_path, codes=Int8(refine=4))
    assert bytes_on_disk(tmp_path, tmp_path / "items.npy") == bytes_on_disk(tmp_path) + (tmp_path / "items.npy").stat().st_size


def test_bytes_of_what_is_not_there_are_refused(tmp_path) -> None:
    with pytest.raises(BundleError, match=HEADER_FILE):
        bytes_on_disk(tmp_path)
