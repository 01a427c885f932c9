from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tt_hydra.contracts import Feature, Features, Kind, Pooling, Schema, Side, SideSchema
from tt_hydra.data.encoded import pad_rows
from tt_hydra.errors import ConfigError
from tt_hydra.export.sentence_transformer import encode, text_towers, write_model
from tt_hydra.pooling.attention import Attention
from tt_hydra.pooling.cls import Cls
from tt_hydra.pooling.last import Last
from tt_hydra.pooling.max import Max
from tt_hydra.pooling.mean import Mean
from tt_hydra.pooling.weighted_mean import WeightedMean
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.mlp import Mlp
from tt_hydra.tower.static import Static
from tt_hydra.tower.two_tower import TwoTower

sentence_transformers = pytest.importorskip("sentence_transformers")

TEXT = SideSchema((Feature(name="text", kind=Kind.TEXT),))
TITLE = SideSchema((Feature(name="title", kind=Kind.TEXT),))
MIXED = SideSchema((*TITLE.features, Feature(name="id", kind=Kind.CATEGORICAL, size=7)))
TEXTS_ALONE = Schema(TEXT, TITLE)
BOTH: tuple[Side, ...] = ("query", "item")
TEXTS = ["a b c", "z", " q r s t ", "q r s t u v w x y a b c d e f g h i j k l m n o p", "query : b"]


def build(query: Any, item: Any, pooling: Pooling, schema: Schema = TEXTS_ALONE, **more: Any) -> TwoTower:
    torch.manual_seed(3)
    arguments = {"embedding_dim": None, "metric": "cosine", "history_pooling": Mean(), "num_items": 4, "tie": "auto"} | more
    towers = TwoTower.build(query=query, item=item, schema=schema, text_pooling=pooling, **arguments)
    with torch.no_grad():
        for parameter in towers.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return towers.eval()


def original(towers: TwoTower, side: Side, texts: list[str] = TEXTS) -> np.ndarray:
    tokens = pad_rows(towers.tokenizers[side](texts), np.arange(len(texts)))
    with torch.no_grad():
        features = Features(len(texts), {towers.texts[side][0]: tokens})
        return (towers.embed_queries if side == "query" else towers.embed_items)(features).numpy()


def write(folder: Path, towers: TwoTower, sides: tuple[Side, ...] = BOTH, schema: Schema = TEXTS_ALONE) -> Path:
    folder.mkdir()
    write_model(folder, text_towers(towers, schema, sides), towers.metric)
    return folder


@pytest.mark.parametrize(
    ("pooling", "metric", "dim"),
    [(Mean(), "cosine", None), (Max(), "dot", 5), (Cls(), "cosine", 5), (Last(), "dot", None), (WeightedMean(), "cosine", 12)],
)
def test_tied_sides_with_prompts_and_lengths_of_their_own(
    pooling: Pooling, metric: str, dim: int | None, tiny_bert: Path, tmp_path: Path
) -> None:
    tower = Bert(model=str(tiny_bert), query_max_length=7, item_max_length=16, query_prompt="query: ", item_prompt="a b")
    towers = build(tower, tower, pooling, metric=metric, embedding_dim=dim)
    assert towers.tied
    folder = write(tmp_path / "out", towers)
    for side in BOTH:
        np.testing.assert_allclose(encode(folder, side, TEXTS), original(towers, side), atol=1e-5)
    assert np.abs(original(towers, "query") - original(towers, "item")).max() > 0.01
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    assert model.prompts == {"query": "query: ", "document": "a b"}
    assert (model.similarity_fn_name, model.max_seq_length) == (metric, 16)
    assert len(list(folder.rglob("model.safetensors"))) == 1 + (dim is not None)
    assert str(tiny_bert) not in "".join(path.read_text() for path in folder.rglob("*.json"))
    assert not (folder / ".work").exists()


def test_untied_sides(tiny_bert: Path, tmp_path: Path) -> None:
    query = Bert(model=str(tiny_bert), query_max_length=9, query_prompt="query: ")
    item = Bert(model=str(tiny_bert), item_max_length=16)
    towers = build(query, item, Mean(), embedding_dim=6)
    assert not towers.tied
    folder = write(tmp_path / "out", towers)
    for side in BOTH:
        np.testing.assert_allclose(encode(folder, side, TEXTS), original(towers, side), atol=1e-5)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), original(towers, "item"), atol=1e-5)


def test_one_side_alone_is_what_encode_gives(tiny_bert: Path, tmp_path: Path) -> None:
    tower = Bert(model=str(tiny_bert), query_max_length=9, item_max_length=16, query_prompt="query: ")
    towers = build(tower, tower, Mean())
    folder = write(tmp_path / "out", towers, ("query",))
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), original(towers, "query"), atol=1e-5)
    assert model.max_seq_length == 9


@pytest.mark.parametrize("tie", [True, False])
def test_static_token_vectors(tie: bool, tiny_bert: Path, tmp_path: Path) -> None:
    tower = Static(model=str(tiny_bert), max_length=6)
    towers = build(tower, tower, Mean(), tie=tie)
    folder = write(tmp_path / "out", towers)
    for side in BOTH:
        np.testing.assert_allclose(encode(folder, side, [*TEXTS, " "]), original(towers, side, [*TEXTS, " "]), atol=1e-5)


def test_a_static_and_a_transformer_side(tiny_bert: Path, tmp_path: Path) -> None:
    towers = build(Static(model=str(tiny_bert)), Bert(model=str(tiny_bert), item_max_length=16), Mean(), embedding_dim=8)
    folder = write(tmp_path / "out", towers)
    for side in BOTH:
        np.testing.assert_allclose(encode(folder, side, TEXTS), original(towers, side), atol=1e-5)


def test_what_has_no_such_form_is_refused_with_all_reasons(tiny_bert: Path) -> None:
    bert, schema = Bert(model=str(tiny_bert), query_max_length=16, item_max_length=16), Schema(TEXT, MIXED)
    towers = build(bert, bert, Mean(), schema)
    with pytest.raises(ConfigError, match=r"item tower reads id \(categorical\).*format=onnx.*side=query exports the other alone"):
        text_towers(towers, schema, BOTH)
    assert list(text_towers(towers, schema, ("query",))) == ["query"]
    with pytest.raises(ConfigError, match=r"query tower pools by attention.*mean, max, cls, last, weighted_mean.*item tower pools by"):
        text_towers(build(bert, bert, Attention()), TEXTS_ALONE, BOTH)
    with pytest.raises(ConfigError, match=r"pools by max.*it has mean"):
        text_towers(build(Static(model=str(tiny_bert)), Static(model=str(tiny_bert)), Max()), TEXTS_ALONE, BOTH)
    with pytest.raises(ConfigError, match=r"vectors hold a bias of each item.*format=onnx takes every tower$"):
        text_towers(build(bert, bert, Mean(), metric="dot", item_bias=True), TEXTS_ALONE, BOTH)
    deep = Bert(model=str(tiny_bert), query_max_length=16, item_max_length=16, hidden_dims=(4,))
    with pytest.raises(ConfigError, match="hidden layers"):
        text_towers(build(deep, deep, Mean()), TEXTS_ALONE, BOTH)
    with pytest.raises(ConfigError, match="encodes texts by HashedText"):
        text_towers(build(Mlp(), Mlp(), Mean()), TEXTS_ALONE, BOTH)
    two = SideSchema((*TEXT.features, *TITLE.features))
    with pytest.raises(ConfigError, match=r"query tower reads 2 texts \(text, title\)"):
        text_towers(build(bert, bert, Mean(), Schema(two, TITLE), tie=False), Schema(two, TITLE), ("query",))


def test_lengths_of_tied_sides_need_a_version_that_knows_them(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers.sentence_transformer import modules  # noqa: PLC0415

    class Older:
        def __init__(self, model_name_or_path: str, max_seq_length: int) -> None: ...

    monkeypatch.setattr(modules, "Transformer", Older)
    tower = Bert(model=str(tiny_bert), query_max_length=7, item_max_length=16)
    with pytest.raises(ConfigError, match=r"7 and 16 tokens.*sentence-transformers>=6.*side=query"):
        write(tmp_path / "out", build(tower, tower, Mean()))


def test_the_folder_is_plain_json_and_safetensors(tiny_bert: Path, tmp_path: Path) -> None:
    tower = Bert(model=str(tiny_bert), query_max_length=16, item_max_length=16)
    folder = write(tmp_path / "out", build(tower, tower, Mean()))
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".json", ".safetensors"}
    assert all(path.stat().st_mode & 0o044 for path in folder.rglob("*.safetensors"))
    assert json.loads((folder / "1_Pooling" / "config.json").read_text())["pooling_mode"] == "mean"
