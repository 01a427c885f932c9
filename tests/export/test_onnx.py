"""Graphs give the towers' vectors at other batch sizes and lengths than they were traced with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_parts import FULL, TEXT_ONLY, make_parts
from tiny_bert import WORDS, write_tiny_bert

from tt_hydra.artifact.write import Parts
from tt_hydra.contracts import Features, History, Padded, Side
from tt_hydra.data.declaration import Declaration
from tt_hydra.errors import BundleError, ConfigError
from tt_hydra.export import onnx
from tt_hydra.export.flat import FlatTower
from tt_hydra.export.inputs import flatten
from tt_hydra.export.onnx import OnnxTower, require_packages, write_graph
from tt_hydra.export.quiet import quiet
from tt_hydra.pooling.attention import Attention
from tt_hydra.pooling.last import Last
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.dcn import Dcn
from tt_hydra.tower.sequence import Sequence
from tt_hydra.tower.static import Static
from tt_hydra.tower.two_tower import TowerSpec

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DEEP = Sequence(feature_dim=8, hidden_dim=8, heads=2, max_positions=3, hidden_dims=(6,), layer_norm=True)


def parts_of(folder: Path, declaration: Declaration, tower: TowerSpec) -> Parts:
    parts = make_parts(folder, declaration, tower=tower)
    assert parts.model is not None
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in parts.model.towers.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    if parts.model.towers.item_text is not None:
        rows = np.arange(parts.dataset.num_items)
        parts.model.towers.set_item_text(parts.model.towers.item_text_vectors(parts.dataset.items(rows)))
    return parts


def export(parts: Parts, side: Side, folder: Path) -> OnnxTower:
    assert parts.model is not None
    flat = FlatTower(parts.model.towers, parts.dataset.schema, side).eval()
    write_graph(flat, folder / f"{side}.onnx", {"side": side, "model_fingerprint": "m"})
    return OnnxTower.load(folder / f"{side}.onnx", threads=1)


def batches(parts: Parts, side: Side) -> list[Features]:
    """One row, the longest, several, all; as they stand in training, where histories grow from nothing."""
    count = len(parts.dataset.train) if side == "query" else parts.dataset.num_items
    chosen = [[0], [count - 1], [1, 2], list(range(5)), list(range(count))]
    if side == "query":
        return [parts.dataset.queries("train", np.array(rows)) for rows in chosen]
    return [parts.dataset.items(np.array(rows)) for rows in chosen]


def largest_difference(parts: Parts, tower: OnnxTower, side: Side, features: Features) -> float:
    assert parts.model is not None
    towers = parts.model.towers
    with torch.no_grad():
        expected = (towers.embed_queries if side == "query" else towers.embed_items)(features).numpy()
    text = None if towers.item_text is None else towers.item_text.numpy()
    found = tower.embed(features, text)
    assert found.dtype == np.float32
    return float(np.abs(found - expected).max())


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Parts, OnnxTower]:
    """Self-attention over histories, every kind of feature, hidden layers."""
    folder = tmp_path_factory.mktemp("deep")
    parts = parts_of(folder, FULL, DEEP)
    return parts, export(parts, "query", folder)


def test_histories_through_self_attention(deep: tuple[Parts, OnnxTower]) -> None:
    parts, tower = deep
    for features in batches(parts, "query"):
        assert largest_difference(parts, tower, "query", features) < 1e-5
    lengths = [int(features.values["history"].positions.mask.sum(dim=1).max()) for features in batches(parts, "query")]
    assert min(lengths) == 0 < max(lengths)


def test_lengths_that_the_data_does_not_have(deep: tuple[Parts, OnnxTower]) -> None:
    """Histories longer than the positions told apart, empty ones beside them, items without values, padding in between."""
    parts, tower = deep
    known = parts.dataset.queries("train", np.array([3, 4, 5]))
    rows = np.arange(parts.dataset.num_items)
    mask = torch.zeros(3, 40, dtype=torch.bool)
    mask[0], mask[2, ::3] = True, True
    history = History(Padded(torch.arange(40).repeat(3, 1), mask), parts.dataset.items(rows))
    features = Features(3, {**known.values, "history": history})
    assert largest_difference(parts, tower, "query", features) < 1e-5
    assert (parts.dataset.items(rows).values["genres"].mask.sum(dim=1) == 0).any()


def test_axes_and_metadata(deep: tuple[Parts, OnnxTower]) -> None:
    parts, tower = deep
    taken = {each.name: (tuple(each.shape), each.type) for each in tower.session.get_inputs()}
    assert taken["age"] == (("rows", 2), "tensor(float)")
    assert taken["history.positions"] == (("rows", "history.length"), "tensor(int64)")
    assert taken["history.items.title.mask"] == (("history.items", "history.items.title.length"), "tensor(bool)")
    assert [each.name for each in tower.inputs] == list(taken)
    (output,) = tower.session.get_outputs()
    assert (output.name, output.shape) == ("vectors", ["rows", parts.model.towers.dim])
    assert (tower.side, dict(tower.metadata)) == ("query", {"side": "query", "model_fingerprint": "m"})
    tower.require_model("m")
    with pytest.raises(BundleError, match="query tower of model m, the bundle holds model n"):
        tower.require_model("n")


def test_nothing_of_this_machine_is_in_a_graph(deep: tuple[Parts, OnnxTower], tmp_path_factory: pytest.TempPathFactory) -> None:
    graphs = list(tmp_path_factory.getbasetemp().glob("deep*/query.onnx"))
    assert graphs
    assert all(str(Path(onnx.__file__).parents[1]).encode() not in graph.read_bytes() for graph in graphs)


def test_the_items_of_such_towers(deep: tuple[Parts, OnnxTower], tmp_path: Path) -> None:
    parts, _ = deep
    tower = export(parts, "item", tmp_path)
    assert max(largest_difference(parts, tower, "item", features) for features in batches(parts, "item")) < 1e-5


def test_texts_of_a_transformer_blank_ones_too(tmp_path: Path, tiny_bert: Path) -> None:
    parts = parts_of(tmp_path, TEXT_ONLY, Bert(model=str(tiny_bert), query_max_length=16, item_max_length=32, query_prompt="query: "))
    assert parts.model is not None
    assert parts.model.towers.tied
    tower = export(parts, "query", tmp_path)
    assert max(largest_difference(parts, tower, "query", features) for features in batches(parts, "query")) < 1e-5
    for texts in ([""], ["a", ""], ["", "a b c d e f g h i j k l m n o p q r s t u v"]):
        encoded = parts.dataset.featurizer.encode_queries([{"text": text} for text in texts], None, parts.model.towers.tokenizers["query"])
        assert largest_difference(parts, tower, "query", encoded) < 1e-5


def test_histories_of_pretrained_texts_read_their_vectors(tmp_path: Path, tiny_bert: Path) -> None:
    parts = parts_of(tmp_path, FULL, Bert(model=str(tiny_bert), query_max_length=16, item_max_length=16, feature_dim=8))
    tower = export(parts, "query", tmp_path)
    assert "history.items.text_vectors" in [each.name for each in tower.inputs]
    assert max(largest_difference(parts, tower, "query", features) for features in batches(parts, "query")) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("tower", [Static(max_length=16, text_dim=8, feature_dim=8), Dcn(feature_dim=8)], ids=["static", "dcn"])
@pytest.mark.parametrize("side", ["query", "item"])
def test_other_towers(tower: TowerSpec, side: Side, tmp_path: Path) -> None:
    parts = parts_of(tmp_path, FULL, tower)
    assert max(largest_difference(parts, export(parts, side, tmp_path), side, each) for each in batches(parts, side)) < 1e-5


def other_encoder(name: str, folder: Path) -> Path:
    """A tiny encoder with random weights: positions counted from the padding's id, rotary ones, ones of a decoder."""
    import transformers  # noqa: PLC0415  # seconds

    write_tiny_bert(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 40}
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    more = {"Roberta": {}, "ModernBert": {**ends, "local_attention": 4}, "Qwen3": {"num_key_value_heads": 1, "head_dim": 4}}[name]
    config = getattr(transformers, f"{name}Config")(**{"vocab_size": len(WORDS), "pad_token_id": 0, **shape, **more})
    (folder / "model.safetensors").unlink()
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Roberta", "ModernBert", "Qwen3"])
def test_other_encoders(name: str, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    tower = Bert(model=str(other_encoder(name, tmp_path / "encoder")), query_max_length=16, item_max_length=32)
    parts = parts_of(tmp_path, TEXT_ONLY, tower)
    assert max(largest_difference(parts, export(parts, "item", tmp_path), "item", each) for each in batches(parts, "item")) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("pooling", [Last(), Attention()], ids=["last", "attention"])
def test_other_poolings(pooling: object, tmp_path: Path) -> None:
    parts = make_parts(tmp_path, FULL)
    assert parts.model is not None
    spec = replace(parts.model.spec, text_pooling=pooling, history_pooling=pooling, metric="dot")
    parts = replace(parts, model=replace(parts.model, spec=spec, towers=spec.build().eval()))
    assert max(largest_difference(parts, export(parts, "query", tmp_path), "query", each) for each in batches(parts, "query")) < 1e-5


def biased(folder: Path) -> Parts:
    parts = make_parts(folder, FULL)
    assert parts.model is not None
    spec = replace(parts.model.spec, metric="dot", item_bias=True)
    return replace(parts, model=replace(parts.model, spec=spec, towers=spec.build().eval()))


@pytest.mark.parametrize("side", ["query", "item"])
def test_what_is_traced_keeps_the_bias_of_each_item(side: Side, tmp_path: Path) -> None:
    parts = biased(tmp_path)
    assert parts.model is not None
    towers, features = parts.model.towers, batches(parts, side)[-1]
    flat = FlatTower(towers, parts.dataset.schema, side).eval()
    with torch.no_grad():
        found = flat(*map(torch.from_numpy, flatten(features, flat.inputs).values()))
        torch.testing.assert_close(found, (towers.embed_queries if side == "query" else towers.embed_items)(features))


@pytest.mark.slow
@pytest.mark.parametrize("side", ["query", "item"])
def test_a_graph_with_a_bias_of_each_item(side: Side, tmp_path: Path) -> None:
    parts = biased(tmp_path)
    assert max(largest_difference(parts, export(parts, side, tmp_path), side, each) for each in batches(parts, side)) < 1e-5


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name.startswith("onnxr") else object())
    with pytest.raises(ConfigError, match=r"needs onnxruntime, .*tt-hydra\[onnx\]"):
        require_packages()
    with pytest.raises(ConfigError, match=r"tt-hydra\[onnx\]"):
        OnnxTower.load(tmp_path / "query.onnx")


def test_a_tower_that_cannot_be_traced_is_named(deep: tuple[Parts, OnnxTower], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts, _ = deep
    assert parts.model is not None
    flat = FlatTower(parts.model.towers, parts.dataset.schema, "item").eval()
    monkeypatch.setattr(flat.tower, "projection", Fickle())
    with pytest.raises(ConfigError, match="cannot trace the item tower: "):
        write_graph(flat, tmp_path / "item.onnx", {"side": "item"})
    assert list(tmp_path.iterdir()) == []


class Fickle(torch.nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors if vectors.sum() > 0 else -vectors


def test_what_is_no_graph_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match="cannot be read as an ONNX graph"):
        OnnxTower.load(tmp_path / "broken.onnx")
    with pytest.raises(BundleError, match="cannot be read as an ONNX graph"):
        OnnxTower.load(tmp_path / "absent.onnx")
    with quiet():
        torch.onnx.export(torch.nn.Identity().eval(), (torch.ones(2),), str(tmp_path / "other.onnx"), dynamo=True, verbose=False)
    with pytest.raises(BundleError, match="says nothing about its inputs"):
        OnnxTower.load(tmp_path / "other.onnx")
