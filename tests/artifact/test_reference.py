from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from bundle_parts import ITEMS, QUERIES, TEXT_ONLY, make_parts

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.artifact.reference import LIMIT, sampled
from tt_hydra.artifact.write import Parts, write_bundle
from tt_hydra.data.unknown import unknown_values
from tt_hydra.errors import BundleError
from tt_hydra.serve.retriever import Retriever


def seen_before_validation(parts: Parts, query: int) -> list[str]:
    """Ids of all of a query's items but its last two, in their order: what leave-last-out lets a validation query look back on."""
    events = parts.dataset.events
    items = events["item"][events["query"] == query]
    return [parts.dataset.item_ids[int(item)] for item in items[:-2]]


def test_it_holds_the_validation_queries_as_they_stood(bundle_folder: Path, parts: Parts) -> None:
    questions = Bundle.load(bundle_folder).questions
    assert questions is not None
    assert questions.records["id"].to_list() == [str(number) for number in range(QUERIES)]
    for query in range(QUERIES):
        events = parts.dataset.events
        items = [parts.dataset.item_ids[int(item)] for item in events["item"][events["query"] == query]]
        assert questions.relevant[query].to_list() == [items[-2]], "the last but one is the validation item, the last is a test item"
        assert sorted(questions.exclude[query]) == sorted(items[:-2])
        assert questions.records["history"][query].to_list() == seen_before_validation(parts, query)[-4:]


def test_the_records_give_the_vectors_that_it_holds(bundle_folder: Path, parts: Parts) -> None:
    retriever = Retriever.load(bundle_folder)
    bundle = retriever.bundle
    questions, reference = bundle.questions, bundle.reference
    assert questions is not None
    assert reference is not None
    features = bundle.featurizer.encode_queries(questions.records, bundle.load_catalogue())
    with torch.inference_mode():
        vectors = retriever.towers.embed_queries(features).numpy()
    np.testing.assert_allclose(reference.queries, vectors, atol=1e-6)
    best = -np.sort(-(vectors @ np.load(parts.item_vectors).T), axis=1)[:, :10]
    np.testing.assert_allclose(reference.scores, best, atol=1e-5)
    np.testing.assert_array_equal(reference.items, np.load(parts.item_vectors))
    assert reference.unknown_share == 0


def test_event_texts_are_part_of_the_records(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", make_parts(tmp_path, TEXT_ONLY)).folder
    retriever = Retriever.load(folder)
    questions, reference = retriever.bundle.questions, retriever.bundle.reference
    assert questions is not None
    assert reference is not None
    assert all(text.startswith("a question about number") for text in questions.records["text"])
    features = retriever.bundle.featurizer.encode_queries(questions.records, None, retriever.towers.tokenizers["query"])
    with torch.inference_mode():
        np.testing.assert_allclose(retriever.towers.embed_queries(features).numpy(), reference.queries, atol=1e-6)


def test_a_bundle_without_one_loads(parts: Parts, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", replace(parts, reference=None))
    assert (bundle.reference, bundle.questions) == (None, None)
    assert not (bundle.folder / "reference").exists()


@pytest.mark.parametrize("name", ["queries.npy", "scores.npy", "questions.parquet", "about.json"])
def test_damage_is_refused_by_name(bundle_folder: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "copy"))
    path = folder / "reference" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"reference/{name} is damaged"):
        Bundle.load(folder)


def test_a_large_part_is_sampled_the_same_way_each_time() -> None:
    rows = sampled(3 * LIMIT)
    assert len(rows) == LIMIT
    assert (np.diff(rows) > 0).all()
    assert 0 < rows[0] < rows[-1] < 3 * LIMIT
    np.testing.assert_array_equal(rows, sampled(3 * LIMIT))
    assert sampled(5).tolist() == [0, 1, 2, 3, 4]


def test_unknown_values_are_counted_by_hand(parts: Parts) -> None:
    rows = pl.DataFrame(
        {
            "id": ["0", "stranger"],
            "job": ["a", None],
            "device": ["radio", "tv"],
            "age": [1_000, None],
            "history": [["i1", "i2"], ["unheard of", "i3", "nor of this"]],
        }
    )
    counted = unknown_values(parts.dataset.featurizer, rows, parts.dataset.catalogue.rows_of)
    assert counted == (4, 10), "unknown: stranger, radio and two items; a missing job and a number are no value of a closed set"
    assert unknown_values(parts.dataset.featurizer, pl.DataFrame({"age": [3]}), parts.dataset.catalogue.rows_of) == (0, 0)
    assert parts.dataset.num_items == ITEMS
