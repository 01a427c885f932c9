from __future__ import annotations

import numpy as np
import pytest

from tt_hydra.errors import ConfigError, DataError
from tt_hydra.pipeline.embed import EmbedSettings, embed
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever


def test_items_of_a_file(bundle_folder, tmp_path):
    retriever = Retriever.load(bundle_folder)
    retriever.bundle.items().write_parquet(tmp_path / "items.parquet")
    output = tmp_path / "new" / "items.npy"
    chosen = EmbedSettings(
        bundle=str(bundle_folder), side="item", input=str(tmp_path / "items.parquet"), output=str(output), outputs=tmp_path
    )
    written = embed(chosen)
    assert (written.path, written.rows, written.dim) == (output, len(retriever.bundle.item_vectors), 16)
    vectors = np.load(output)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, retriever.bundle.item_vectors, atol=1e-6)
    assert [path.name for path in output.parent.iterdir()] == ["items.npy"]


def test_texts_of_items(bundle_folder, tmp_path):
    (tmp_path / "items.txt").write_text("a film about the sea\n\nand one about war\n")
    output = str(tmp_path / "v.npy")
    embed(EmbedSettings(bundle=str(bundle_folder), side="item", input=str(tmp_path / "items.txt"), output=output, outputs=tmp_path))
    expected = Retriever.load(bundle_folder).embed_items(["a film about the sea", "and one about war"])
    np.testing.assert_array_equal(np.load(output), expected)


def test_queries_of_a_file(bundle_folder, tmp_path):
    (tmp_path / "queries.jsonl").write_text('{"id": "3"}\n{"id": "x", "history": ["i1"], "features": {"age": 30}}\n')
    output = str(tmp_path / "v.npy")
    embed(EmbedSettings(bundle=str(bundle_folder), side="query", input=str(tmp_path / "queries.jsonl"), output=output, outputs=tmp_path))
    queries = [Query(query_id="3"), Query(history=["i1"], features={"age": 30})]
    np.testing.assert_array_equal(np.load(output), Retriever.load(bundle_folder).embed_queries(queries))


def test_what_is_refused(bundle_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"\.npy"):
        EmbedSettings(side="item", input="a.txt", output="vectors.csv", outputs=tmp_path)
    with pytest.raises(DataError, match="input="):
        embed(EmbedSettings(bundle=str(bundle_folder), side="item", input=str(tmp_path / "absent.txt"), outputs=tmp_path))
