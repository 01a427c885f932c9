from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tt_hydra.contracts import Features, Padded, Ragged
from tt_hydra.data.catalogue import Catalogue
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec
from tt_hydra.data.encoded import EncodedTable
from tt_hydra.data.featurizer import Featurizer
from tt_hydra.errors import DataError


def words(texts):
    rows = [[len(word) for word in text.split()] for text in texts]
    return Ragged(np.array([token for row in rows for token in row], np.int32), np.cumsum([0] + [len(row) for row in rows]))


def assert_same(mine: Features, other: Features) -> None:
    assert mine.values.keys() == other.values.keys()
    for name, value in mine.values.items():
        twin = other.values[name]
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, twin), name
        elif isinstance(value, Padded):
            assert torch.equal(value.ids, twin.ids), name
            assert torch.equal(value.mask, twin.mask), name
        else:
            assert torch.equal(value.positions.mask, twin.positions.mask), name
            assert torch.equal(value.items.rows[value.positions.ids], twin.items.rows[twin.positions.ids]), name
            assert_same(value.items, twin.items)


@pytest.fixture
def dataset(make_tables, prepared):
    declaration = Declaration(
        queries={"id": FeatureSpec(kind="categorical"), "age": FeatureSpec(kind="numeric", bins=2)},
        items={
            "title": FeatureSpec(kind="text"),
            "genres": FeatureSpec(kind="multi"),
            "price": FeatureSpec(kind="numeric", normalize="log"),
        },
        context={"device": FeatureSpec(kind="categorical"), "time": FeatureSpec(kind="time")},
        history=HistorySpec(max_length=2),
        statistics=("count",),
        text=True,
    )
    interactions = make_tables().interactions.with_columns(text=pl.Series(["a", "bb cc", "", None, "ddd", "ü 東京", "x"]))
    return prepared(make_tables(declaration=declaration, interactions=interactions))


def test_json_gives_the_same_featurizer(dataset):
    again = Featurizer.from_json(dataset.featurizer.to_json())
    assert again == dataset.featurizer
    assert again.fingerprint == dataset.featurizer.fingerprint
    assert again.schema == dataset.schema


def test_the_fingerprint_follows_what_was_fitted(make_tables, prepared):
    first, same = prepared(make_tables()), prepared(make_tables())
    other = prepared(make_tables(queries=make_tables().queries.with_columns(age=pl.Series([21, 40, None, 60]))))
    assert first.featurizer.fingerprint == same.featurizer.fingerprint != other.featurizer.fingerprint


def test_the_records_of_known_queries_are_encoded_as_the_data_set_does(dataset):
    rows = np.array([3, 0, 1, 2])
    records = dataset.query_records(rows)
    assert records["history"].to_list() == [[], ["c", "d"], ["a", "c"], ["f"]]
    features = dataset.featurizer.encode_queries(records, dataset.catalogue, words)
    assert features.rows is None
    assert_same(features, dataset.last_queries(rows))
    assert_same(dataset.featurizer.encode_queries(records.to_dicts(), dataset.catalogue, words), dataset.last_queries(rows))


def test_items_of_the_catalogue_are_encoded_as_the_data_set_does(dataset):
    columns = [encoder.name for encoder in dataset.featurizer.items]
    features = dataset.featurizer.encode_items(dataset.display.select(columns), words)
    known = dataset.items(np.arange(6))
    scale = dataset.featurizer.scales[0]
    unseen = (features.values.pop("statistics.count"), known.values.pop("statistics.count"))
    assert_same(features, known)
    np.testing.assert_allclose(unseen[0], [[-scale.mean / scale.std, 0]] * 6, rtol=1e-6)


def test_live_queries_may_say_little_and_name_unknown_items(dataset):
    rows = [{}, {"age": 30, "history": ["b", "nothing", "a", "f"], "text": "émigré 東京"}, {"device": "pc", "history": None}]
    features = dataset.featurizer.encode_queries(rows, dataset.catalogue, words)
    history = features.values["history"]
    items = [history.items.rows[ids[mask]].tolist() for ids, mask in zip(history.positions.ids, history.positions.mask, strict=True)]
    assert items == [[], [0, 5], []]
    assert features.values["text"].ids.tolist() == [[0, 0], [6, 2], [0, 0]]
    assert features.values["age"].tolist() == [1, 2, 1]
    assert features.values["device"].tolist() == [1, 1, 2]
    assert features.values["id"].tolist() == [1, 1, 1]


def test_nothing_to_encode_gives_no_rows(dataset):
    assert dataset.featurizer.encode_queries([], dataset.catalogue, words).size == 0
    assert dataset.featurizer.encode_items([], words).size == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"aeg": 3}], r"'aeg' is no feature \(did you mean 'age'\?\)"),
        ([{"title": "x"}], "'title' is no feature"),
        ([{"history": "abc"}], "history is a list of item ids"),
    ],
)
def test_what_is_no_feature_is_refused(dataset, rows, message):
    with pytest.raises(DataError, match=message):
        dataset.featurizer.encode_queries(rows, dataset.catalogue, words)
    with pytest.raises(DataError, match=r"'titel' is no feature \(did you mean 'title'\?\)"):
        dataset.featurizer.encode_items([{"titel": "x"}], words)


@pytest.mark.parametrize("times", [1, 40])
@pytest.mark.parametrize("size", [6, 10**4])
def test_few_and_many_histories_find_the_same_items(dataset, times, size):
    catalogue = replace(dataset.catalogue, table=replace(dataset.catalogue.table, size=size))
    many = np.tile([5, 0, 5, 2], times)
    history = catalogue.history(many, np.array([0, 3]), np.array([3, len(many) - 3]))
    assert history.items.rows.tolist() == [0, 2, 5]
    assert history.positions.ids[0].tolist()[:3] == [2, 0, 2]
    assert history.positions.ids[1].tolist() == [1, *[2, 0, 2, 1] * (times - 1)] + [0] * (2 if times == 1 else 0)


def test_plain_rows_are_encoded_as_a_frame_is(dataset):
    rows = [
        {"history": ["nothing", "c", "a", "f", "a", "nothing", "b", "d", "e"], "device": "tv"},
        {},
        {"history": [], "device": "new"},
        {"history": ["nothing"]},
        {"history": ["e"]},
    ]
    for some in (rows, rows[:1], rows[1:2]):
        found = dataset.featurizer.encode_plain(some, dataset.catalogue, words)
        assert_same(found, dataset.featurizer.encode_queries(some, dataset.catalogue, words))


def test_the_catalogue_opens_alone_from_its_folder(dataset):
    folder: Path = dataset.folder / "items"
    alone = Catalogue.load(folder, dataset.featurizer.scales).tokenized(words)
    assert_same(alone.features(np.arange(6)), dataset.items(np.arange(6)))
    assert alone.rows_of(["f", "nothing"]).tolist() == [5, -1]
    assert isinstance(alone.table, EncodedTable)
