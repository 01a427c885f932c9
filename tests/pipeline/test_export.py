from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_parts import TEXT_ONLY, make_parts
from tiny_bert import write_tiny_bert

from tt_hydra import cli
from tt_hydra.artifact.write import write_bundle
from tt_hydra.errors import BundleError, ConfigError, TTHydraError
from tt_hydra.export.onnx import OnnxTower
from tt_hydra.pipeline import export as pipeline
from tt_hydra.pipeline.export import ExportSettings, export
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.tower.bert import Bert

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def onnx_export(parts, tmp_path_factory) -> tuple[Path, Path]:
    """A bundle, and its query tower as graphs in float32 and in 8 bits."""
    root = tmp_path_factory.mktemp("export")
    bundle = write_bundle(root / "bundle", parts).folder
    chosen = ExportSettings(bundle=str(bundle), format="onnx", output=str(root / "out"), side="query", quantize="int8", outputs=root)
    assert export(chosen).path == root / "out"
    return bundle, root / "out"


def settings(bundle: Path, output: Path, **more: object) -> ExportSettings:
    chosen = {"format": "onnx", "side": "query", "outputs": output.parent} | more
    return ExportSettings(bundle=str(bundle), output=str(output), **chosen)


def test_a_graph_answers_as_the_retriever_does(onnx_export):
    bundle, folder = onnx_export
    retriever, tower = Retriever.load(bundle), OnnxTower.load(folder / "query.onnx")
    tower.require_model(retriever.bundle.manifest.model_fingerprint)
    queries = [Query(query_id="3"), Query(history=["i1", "i2"], features={"age": 30}, context={"device": "tv"}), Query(history=[])]
    found = tower.embed(retriever.query_features(queries), retriever.item_text)
    np.testing.assert_allclose(found, retriever.embed_queries(queries), atol=1e-5)


def test_what_lies_beside_a_graph(onnx_export):
    bundle, folder = onnx_export
    assert {path.name for path in folder.iterdir()} == {"query.onnx", "query.int8.onnx", "signature.json", "featurizer.json", "README.md"}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    signature, manifest = json.loads((folder / "signature.json").read_text()), Retriever.load(bundle).bundle.manifest
    assert (signature["format"], signature["metric"], signature["dim"]) == ("onnx", "cosine", 16)
    assert signature["model_fingerprint"] == manifest.model_fingerprint
    query = signature["towers"]["query"]
    session = OnnxTower.load(folder / "query.onnx").session
    assert {each["name"]: each["shape"] for each in query["inputs"]} == {each.name: each.shape for each in session.get_inputs()}
    assert query["tokenizers"]["item"]["buckets"] == 16384
    assert query["checked"]["rows"] == 12
    assert query["checked"]["largest_difference"] < 1e-5
    assert query["bytes"] == (folder / "query.onnx").stat().st_size
    held = session.get_modelmeta().custom_metadata_map
    assert json.loads(held["tt_hydra.model_fingerprint"]) == manifest.model_fingerprint
    assert [each["name"] for each in json.loads(held["tt_hydra.schema"])] == ["age", "job", "id", "device", "history"]
    assert "| `history.positions` | int64 | rows x history.length |" in (folder / "README.md").read_text()


def test_the_loss_of_8_bits_is_that_of_the_written_graphs(onnx_export):
    bundle, folder = onnx_export
    retriever = Retriever.load(bundle)
    features = retriever.query_features([Query(query_id=identifier) for identifier in retriever.bundle.queries["id"]])
    exact, small = (OnnxTower.load(folder / name).embed(features) for name in ("query.onnx", "query.int8.onnx"))
    cosines = (exact * small).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(small, axis=1)
    written = json.loads((folder / "signature.json").read_text())["towers"]["query"]["int8"]
    assert written["loss"]["queries"] == 12
    assert written["loss"]["cosine_mean"] == pytest.approx(cosines.mean(), abs=1e-6)
    assert written["loss"]["cosine_lowest"] == pytest.approx(cosines.min(), abs=1e-6)
    top = [np.argsort(-(vectors @ retriever.bundle.item_vectors.T), axis=1)[:, :10] for vectors in (exact, small)]
    shared = [len(set(left) & set(right)) / 10 for left, right in zip(*(each.tolist() for each in top), strict=True)]
    assert written["loss"]["recall@10"]["value"] == pytest.approx(np.mean(shared), abs=0.011)
    assert written["bytes"]["onnx int8"] < written["bytes"]["onnx"] / 2
    assert set(written["p50_ms"]) == {"torch", "onnx", "onnx int8"}
    assert ("not faster" in written["verdict"]) == (written["p50_ms"]["onnx int8"] >= 0.95 * written["p50_ms"]["onnx"])


def test_a_folder_in_use_is_refused(onnx_export, tmp_path):
    bundle, _ = onnx_export
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"is not empty.*overwrite=true"):
        export(settings(bundle, tmp_path / "mine"))
    with pytest.raises(ConfigError, match=r"no signature\.json.*leaves it alone"):
        export(settings(bundle, tmp_path / "mine", overwrite=True))
    with pytest.raises(ConfigError, match="is a file"):
        export(settings(bundle, tmp_path / "mine" / "thesis.txt"))
    with pytest.raises(ConfigError, match="no folder can be made there"):
        export(settings(bundle, tmp_path / "mine" / "thesis.txt" / "out"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Lets the writing of a graph fail when half of it is there."""

    def fail(error: Exception) -> None:
        def write(tower: object, path: Path, metadata: object) -> None:
            path.write_bytes(b"half a graph")
            raise error

        monkeypatch.setattr(pipeline, "write_graph", write)

    return fail


def test_a_full_disk_leaves_nothing_and_an_earlier_export_alone(onnx_export, fails, tmp_path):
    bundle, _ = onnx_export
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "signature.json").write_text("{}")
    fails(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(TTHydraError, match="the disk is full"):
        export(settings(bundle, tmp_path / "out", overwrite=True))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["out", "out/signature.json"]


def test_a_graph_with_other_vectors_is_not_handed_out(onnx_export, monkeypatch, tmp_path):
    bundle, folder = onnx_export

    def write(tower: object, path: Path, metadata: object) -> None:
        path.write_bytes((folder / "query.int8.onnx").read_bytes())

    monkeypatch.setattr(pipeline, "write_graph", write)
    monkeypatch.setattr(pipeline, "TOLERANCE", 1e-7)
    with pytest.raises(BundleError, match=r"query\.onnx gives other vectors .* Nothing was written"):
        export(settings(bundle, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_settings_that_contradict_each_other(tmp_path):
    with pytest.raises(ConfigError, match="quantize=int8 is of format=onnx"):
        settings(tmp_path, tmp_path, format="sentence_transformers", quantize="int8")
    with pytest.raises(ConfigError, match="for the query tower"):
        settings(tmp_path, tmp_path, side="item", quantize="int8")
    with pytest.raises(ConfigError, match="sample=0"):
        settings(tmp_path, tmp_path, sample=0)


@pytest.fixture
def line(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line here: status, output, errors."""
    monkeypatch.setenv("TT_HYDRA_OUTPUTS", str(tmp_path / "outputs"))

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.status(["export", *arguments])
        return status, *capsys.readouterr()

    return run


def test_the_command_line_writes_a_folder_of_sentence_transformers(line, tmp_path):
    (tmp_path / "encoder").mkdir()
    tower = Bert(model=str(write_tiny_bert(tmp_path / "encoder")), query_max_length=16, item_max_length=32, query_prompt="query: ")
    (tmp_path / "parts").mkdir()
    bundle = write_bundle(tmp_path / "bundle", make_parts(tmp_path / "parts", TEXT_ONLY, tower=tower)).folder
    output = tmp_path / "my model (1)"
    status, out, err = line(f"bundle={bundle}", "format=sentence_transformers", f"output={output}")
    assert status == 0, err
    assert out.splitlines()[-1] == str(output)
    assert [row.split()[0] for row in out.splitlines()[:3]] == ["tower", "query", "item"]
    signature = json.loads((output / "signature.json").read_text())
    assert all(signature["towers"][side]["checked"]["largest_difference"] < 1e-5 for side in ("query", "item"))
    assert "model.encode_query" in (output / "README.md").read_text()
    model = pytest.importorskip("sentence_transformers").SentenceTransformer(str(output), device="cpu")
    expected = Retriever.load(bundle).embed_queries([Query(text="a question")])
    np.testing.assert_allclose(model.encode_query(["a question"]), expected, atol=1e-5)
    status, _, err = line(f"bundle={bundle}", "format=sentence_transformers", f"output={output}")
    assert (status, "is not empty" in err) == (2, True)
    assert line(f"bundle={bundle}", "format=sentence_transformers", f"output={output}", "side=query", "overwrite=true")[0] == 0
    assert list(json.loads((output / "signature.json").read_text())["towers"]) == ["query"]


def test_the_command_line_refuses(line, onnx_export, tmp_path):
    bundle, _ = onnx_export
    status, _, err = line(f"bundle={bundle}", "format=sentence_transformers", f"output={tmp_path / 'out'}")
    assert status == 2
    assert err.startswith("error: format=sentence_transformers: the query tower reads age (numeric)")
    assert "output: must be given" in line("format=onnx")[2]
    assert "side: must be query or item or both" in line("format=onnx", "output=o", "side=left")[2]
    assert "did you mean 'overwrite'" in line("format=onnx", "output=o", "overwite=true")[2]
    assert list(tmp_path.iterdir()) == []
