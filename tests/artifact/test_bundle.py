from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from bundle_parts import ITEMS, TEXT_ONLY, make_parts
from killed import SUPPORT

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.keys import fingerprint
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.contracts import Kind
from tt_hydra.errors import BundleError
from tt_hydra.serve.retriever import Query, Retriever


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the same shape with other weights."""
    folder = tmp_path_factory.mktemp("other")
    return write_bundle(folder / "bundle", make_parts(folder, seed=1)).folder


def harmed(path: Path, content: bytes) -> None:
    """Puts a new file in place of a bundle's; the old one may be shared with the store."""
    path.unlink()
    path.write_bytes(content)


def rewritten(folder: Path, **changes: object) -> None:
    """Edits the manifest as somebody would who also mends its checksum."""
    content = json.loads((folder / "manifest.json").read_text())
    content.pop("checksum")
    content |= changes
    (folder / "manifest.json").write_text(json.dumps({**content, "checksum": fingerprint(content)}))


def test_a_bundle_holds_what_was_put_into_it(bundle_folder: Path, parts: Parts) -> None:
    bundle = Bundle.load(bundle_folder)
    manifest = bundle.manifest
    assert (manifest.metric, manifest.dim, manifest.num_items, manifest.title) == ("cosine", 16, ITEMS, "title")
    assert manifest.measured == {"test/model/recall@10": 0.25}
    assert manifest.conditions == {"threads": 1}
    assert manifest.index["index"]["_target_"] == "tt_hydra.index.flat.Flat"
    np.testing.assert_array_equal(bundle.item_vectors, np.load(parts.item_vectors))
    assert bundle.items("id")["id"].to_list() == parts.dataset.item_ids.to_list()
    assert bundle.queries.equals(parts.dataset.query_records(np.arange(parts.dataset.num_queries)))
    assert bundle.featurizer == parts.dataset.featurizer
    assert bundle.load_index().size == ITEMS


def test_the_towers_come_back_as_they_were(bundle_folder: Path, parts: Parts) -> None:
    assert parts.model is not None
    towers = Bundle.load(bundle_folder).load_towers()
    assert towers is not None
    assert not towers.training
    expected = parts.model.towers.state_dict()
    assert towers.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in towers.state_dict().items())
    rows = np.arange(ITEMS)
    with torch.inference_mode():
        vectors = towers.embed_items(parts.dataset.items(rows)).numpy()
    np.testing.assert_array_equal(vectors, np.load(parts.item_vectors))


def test_nothing_in_it_is_a_pickle(bundle_folder: Path) -> None:
    for path in bundle_folder.rglob("*"):
        if path.is_file():
            with pytest.raises(Exception), path.open("rb") as file:  # noqa: B017, PT011  # whatever pickle makes of other formats
                pickle.load(file)
            assert path.suffix in {".json", ".safetensors", ".npy", ".parquet", ".faiss"}


def test_tied_towers_have_one_file(tmp_path: Path) -> None:
    parts = make_parts(tmp_path / "parts", TEXT_ONLY)
    assert parts.model is not None
    assert parts.model.towers.tied
    folder = write_bundle(tmp_path / "bundle", parts).folder
    assert not (folder / "query_tower.safetensors").exists()
    retriever = Retriever.load(folder)
    assert retriever.search(text="film 7 about sea", k=1)[0].id == "i7"
    np.testing.assert_allclose(retriever.embed_items(["film 7 about sea"])[0], np.load(parts.item_vectors)[7], atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "query_tower.safetensors", "item_tower.safetensors", "item_vectors.npy", "index/index.faiss", "index/index.json", "items.parquet",
        "items/ids.parquet", "queries.parquet", "featurizer.json",
    ],
)  # fmt: skip
def test_a_flipped_byte_a_missing_end_and_a_missing_file_are_refused_by_name(bundle_folder: Path, name: str) -> None:
    path = bundle_folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    harmed(path, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(BundleError, match=f"{name} is damaged, or of another bundle"):
        Bundle.load(bundle_folder)
    Bundle.load(bundle_folder, verify=False)
    harmed(path, content[:-1])
    with pytest.raises(BundleError, match=f"{name} has {len(content) - 1} bytes, not {len(content)}"):
        Bundle.load(bundle_folder, verify=False)
    path.unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        Bundle.load(bundle_folder, verify=False)


def test_a_foreign_index_file_is_refused_by_name(bundle_folder: Path, other: Path) -> None:
    harmed(bundle_folder / "index" / "index.faiss", (other / "index" / "index.faiss").read_bytes())
    with pytest.raises(BundleError, match=r"index\.faiss is damaged, or of another bundle"):
        Bundle.load(bundle_folder)


def test_an_index_of_another_model_is_refused_whatever_the_checksums(bundle_folder: Path, other: Path) -> None:
    shutil.rmtree(bundle_folder / "index")
    shutil.copytree(other / "index", bundle_folder / "index")
    mine, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (bundle_folder, other))
    foreign = {name: entry for name, entry in theirs["files"].items() if name.startswith("index/")}
    rewritten(bundle_folder, files={**mine["files"], **foreign})
    with pytest.raises(
        BundleError, match=rf"index/ was built from .* of model {theirs['model_fingerprint']}, but .* {mine['model_fingerprint']}"
    ):
        Bundle.load(bundle_folder)


def test_item_vectors_of_another_model_are_refused(bundle_folder: Path, other: Path) -> None:
    for name in ("item_vectors.npy", "item_vectors.json"):
        harmed(bundle_folder / name, (other / name).read_bytes())
    with pytest.raises(BundleError, match=r"item_vectors\.npy was made by model .*, but query_tower\.safetensors and item_tower"):
        Bundle.load(bundle_folder)


def test_a_query_tower_of_another_model_is_refused(bundle_folder: Path, other: Path) -> None:
    harmed(bundle_folder / "query_tower.safetensors", (other / "query_tower.safetensors").read_bytes())
    with pytest.raises(BundleError, match=r"query_tower\.safetensors is damaged, or of another bundle"):
        Bundle.load(bundle_folder)


def test_the_manifest_is_checked_itself(bundle_folder: Path) -> None:
    path = bundle_folder / "manifest.json"
    good = path.read_text()
    path.write_text(good.replace('"dim": 16', '"dim": 17'))
    with pytest.raises(BundleError, match=r"manifest\.json is damaged or was edited"):
        Bundle.load(bundle_folder)
    path.write_text(good[:100])
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        Bundle.load(bundle_folder)
    path.write_text(good)
    rewritten(bundle_folder, format=99)
    with pytest.raises(BundleError, match="format 99; this version of tt_hydra reads format 2"):
        Bundle.load(bundle_folder)


def test_a_file_too_many_is_refused_and_hidden_ones_are_not(bundle_folder: Path) -> None:
    (bundle_folder / ".DS_Store").touch()
    Bundle.load(bundle_folder)
    (bundle_folder / "index" / "more.bin").touch()
    with pytest.raises(BundleError, match=r"index/more\.bin is not part of this bundle"):
        Bundle.load(bundle_folder)


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="is no bundle"):
        Bundle.load(tmp_path / "nowhere")


def test_parts_that_do_not_fit_are_refused(parts: Parts, tmp_path: Path) -> None:
    np.save(tmp_path / "fewer.npy", np.zeros((ITEMS - 1, 16), np.float32))
    with pytest.raises(BundleError, match=r"belongs to another model or catalogue"):
        write_bundle(tmp_path / "bundle", replace(parts, item_vectors=tmp_path / "fewer.npy"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(BundleError, match="exists and is no bundle"):
        write_bundle(tmp_path / "mine", parts)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_an_earlier_bundle_gives_way_whole(bundle_folder: Path, parts: Parts) -> None:
    write_bundle(bundle_folder, replace(parts, measured={"x": 1.0}))
    assert Bundle.load(bundle_folder).manifest.measured == {"x": 1.0}
    assert [path.name for path in bundle_folder.parent.iterdir()] == [bundle_folder.name]


def test_ready_made_vectors_need_no_towers(parts: Parts, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    shutil.copytree(parts.dataset.folder, folder)
    queries = np.random.default_rng(0).normal(size=(parts.dataset.num_queries, 16)).astype(np.float32)
    np.save(folder / "query_vectors.npy", queries)
    given = replace(parts, model=None, dataset=type(parts.dataset).load(folder))
    retriever = Retriever.load(write_bundle(tmp_path / "bundle", given).folder)
    np.testing.assert_array_equal(retriever.embed_queries([Query(query_id="4")])[0], queries[4])
    assert len(retriever.search(query_id="4", k=3)) == 3
    with pytest.raises(BundleError, match="no towers"):
        retriever.embed_items(["a"])


def test_item_texts_for_histories_travel_with_the_bundle(parts: Parts, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", parts)
    catalogue = bundle.load_catalogue()
    (name,) = (feature.name for feature in parts.dataset.schema.item.of(Kind.TEXT))
    expected = parts.dataset.catalogue.table.tokens[name]
    np.testing.assert_array_equal(catalogue.table.tokens[name].values, expected.values)
    np.testing.assert_array_equal(catalogue.table.tokens[name].offsets, expected.offsets)


PREPARE = """
import os, shutil, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {support!r})
from bundle_parts import make_parts
from killed import killed_at
from tt_hydra.artifact import bundle, files
from tt_hydra.artifact.write import write_bundle
folder = Path({folder!r})
parts = make_parts(folder / "parts")
"""


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = PREPARE.format(support=SUPPORT, folder=str(folder)) + code
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("owner", "name", "call", "left"),
    [
        ("bundle", "sha256", 3, "earlier"),
        ("files", "sync", 8, "earlier"),
        ("Path", "replace", 1, "earlier"),
        ("Path", "replace", 2, "nothing"),
        ("shutil", "rmtree", 1, "later"),
    ],
)
def test_a_kill_leaves_nothing_or_a_whole_bundle(tmp_path: Path, owner: str, name: str, call: int, left: str) -> None:
    code = f"""
write_bundle(folder / "bundle", replace(parts, measured={{"which": 0.0}}))
killed_at({owner}, {name!r}, {call})
write_bundle(folder / "bundle", replace(parts, measured={{"which": 1.0}}))
"""
    done = run_python(code, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    if left == "nothing":
        with pytest.raises(BundleError, match="is no bundle"):
            Bundle.load(tmp_path / "bundle")
    else:
        assert Bundle.load(tmp_path / "bundle").manifest.measured == {"which": float(left == "later")}


def test_a_full_disk_is_one_clear_error_and_no_bundle(tmp_path: Path) -> None:
    code = """
import resource
from tt_hydra.errors import BundleError
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
try:
    write_bundle(folder / "bundle", parts)
except BundleError as error:
    print("refused:", error)
"""
    done = run_python(code, tmp_path)
    assert "refused: writing bundle" in done.stdout, done.stderr
    assert "the disk is full or over quota" in done.stdout
    assert not (tmp_path / "bundle").exists()


def test_parquet_files_hold_the_id_map(bundle_folder: Path) -> None:
    items = pl.read_parquet(bundle_folder / "items.parquet")
    assert items["id"][-1] == "Ü, 'q'"
    assert {"title", "poster"} <= set(items.columns)
