from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest

from tt_hydra.data.declaration import Declaration, FeatureSpec, SplitSpec
from tt_hydra.errors import DataError

CATEGORY = FeatureSpec(kind="categorical")


def test_vocabularies_and_normalisers_know_the_training_part_only(make_tables, prepared):
    """The training part is u1: a b, u2: a, u3: f; so c, d, e, the genres z and new, the device watch are unknown."""
    dataset = prepared(make_tables())
    items = dataset.items(np.arange(6)).values
    assert items["id"].tolist() == [2, 3, 1, 1, 1, 4]
    assert [row[mask].tolist() for row, mask in zip(items["genres"].ids, items["genres"].mask, strict=True)] == [
        [2, 3],
        [2],
        [],
        [1],
        [3, 1],
        [],
    ]
    mean, std = 2.0, np.std([1, 3, 2])
    np.testing.assert_allclose(items["price"][:, 0], [-1 / std, 1 / std, 3 / std, 5 / std, 0, 0], rtol=1e-6)
    assert items["price"][:, 1].tolist() == [0, 0, 0, 0, 1, 0]
    assert mean == 2
    assert dataset.queries("test", np.array([0])).values["device"].tolist() == [1]
    ages = dataset.last_queries(np.arange(4)).values["age"]
    assert ages.tolist() == [[-1, 0], [1, 0], [0, 1], [3, 0]]


def test_popularity_and_known_positives_are_of_the_training_part(make_tables, prepared):
    dataset = prepared(make_tables())
    assert dataset.counts.tolist() == [2, 1, 0, 0, 0, 1]
    assert [dataset.known.row(row).tolist() for row in range(4)] == [[0, 1], [0], [5], []]


def test_popularity_is_how_often_batches_hold_an_item_whatever_its_events_weigh(random_tables, prepared):
    """An epoch takes each training pair once; its weight is in the loss, and plays no part in which items come together."""
    dataset = prepared(random_tables(SplitSpec(kind="given")))
    assert not np.array_equal(dataset.train.weights, np.ones(len(dataset.train))), "the premise: events weigh differently"
    assert dataset.training_view().counts.tolist() == np.bincount(dataset.train.item_rows, minlength=15).tolist()


def test_what_was_met_is_counted_and_logged(make_tables, prepared, caplog):
    with caplog.at_level(logging.INFO):
        dataset = prepared(make_tables(counts={"rows in the file": 9}))
    assert dataset.log_counts() == {
        "rows in the file": 9,
        "queries": 4,
        "items": 6,
        "missing: items.title": 2,
        "missing: items.genres": 2,
        "missing: items.price": 1,
        "missing: queries.age": 1,
        "missing: context.device": 1,
        "train interactions": 4,
        "valid interactions": 1,
        "valid queries": 1,
        "valid interactions with an item not in training": 1,
        "valid queries not in training": 0,
        "test interactions": 2,
        "test queries": 2,
        "test interactions with an item not in training": 2,
        "test queries not in training": 0,
    }
    assert "missing: items.title 2" in caplog.text


def test_negatives_that_the_data_names(make_tables, prepared):
    interactions = pl.DataFrame(
        {
            "query": ["u2", "u1", "u1"],
            "item": ["c", "a", "b"],
            "negatives": [["d"], ["f", "nothing"], None],
            "split": ["test", "train", "train"],
        }
    )
    declaration = Declaration(split=SplitSpec(kind="given"))
    dataset = prepared(make_tables(declaration=declaration, interactions=interactions), valid_share=0.0)
    assert dataset.train.item_rows.tolist() == [0, 1]
    assert [dataset.train.negatives.row(row).tolist() for row in range(2)] == [[5], []]
    assert dataset.log_counts()["negatives dropped: unknown item"] == 1


def test_what_the_data_says_of_a_pair_reaches_its_training_example(make_tables, prepared):
    interactions = pl.DataFrame(
        {
            "query": ["u2", "u1", "u1", "u2"],
            "item": ["c", "a", "b", "d"],
            "negatives": [["d"], ["f", "b", "nothing", "e"], ["c"], ["a", "c"]],
            "negatives_teacher": [[1.0], [0.5, 9.0, 9.0, None], [-2.0], [3.0, 4.0]],
            "teacher": [7.0, None, 0.25, 8.0],
            "rating": [1.0, 4.0, None, 2.0],
            "split": ["test", "train", "train", "train"],
        }
    )
    declaration = Declaration(split=SplitSpec(kind="given"), labels=("rating",))
    dataset = prepared(make_tables(declaration=declaration, interactions=interactions), valid_share=0.0)
    train = dataset.train
    assert list(zip(train.query_rows, train.item_rows, strict=True)) == [(0, 0), (0, 1), (1, 3)]
    assert [train.negatives.row(row).tolist() for row in range(3)] == [[5, 4], [2], [0, 2]]
    assert np.array_equal(train.negatives_teacher, np.float32([0.5, np.nan, -2, 3, 4]), equal_nan=True)
    assert np.array_equal(train.teacher, np.float32([np.nan, 0.25, 8]), equal_nan=True)
    assert np.array_equal(train.labels["rating"], np.float32([4, np.nan, 2]), equal_nan=True)
    assert dataset.log_counts()["negatives dropped: a positive of the query"] == 1


def test_no_training_pair_is_said_when_asked(make_tables, prepared):
    interactions = pl.DataFrame({"query": ["u1"], "item": ["a"], "split": ["test"]})
    dataset = prepared(make_tables(declaration=Declaration(split=SplitSpec(kind="given")), interactions=interactions))
    assert len(dataset.eval_part("test")) == 1
    assert len(dataset.eval_part("valid")) == 0
    with pytest.raises(DataError, match=r"was dropped \(.*train interactions 0, .*test interactions 1.*train\.max_epochs=0"):
        dataset.require_training_pairs()


def test_no_interaction_at_all(make_tables, prepared):
    vectors = (np.ones((6, 2), np.float32), np.zeros((4, 2), np.float32))
    interactions = pl.DataFrame(schema={"query": pl.String, "item": pl.String})
    dataset = prepared(make_tables(declaration=Declaration(), interactions=interactions, vectors=vectors))
    assert [array.shape for array in dataset.vectors] == [(6, 2), (4, 2)]
    assert len(dataset.train) == len(dataset.eval_part("test")) == 0
    assert dataset.last_queries(np.arange(4)).values["id"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("empty", ["items", "queries"])
def test_an_empty_side_is_refused(make_tables, prepared, empty):
    with pytest.raises(DataError, match="nothing to retrieve"):
        prepared(make_tables(**{empty: getattr(make_tables(), empty).clear()}))


def test_a_share_for_validation_comes_from_the_argument_or_the_declaration(make_tables, prepared):
    interactions = pl.DataFrame({"query": ["u1", "u2", "u3", "u4"], "item": list("abcd"), "split": ["train"] * 4})
    tables = make_tables(declaration=Declaration(split=SplitSpec(kind="given", valid=0.75)), interactions=interactions)
    assert len(prepared(tables, valid_share=0.5).eval_part("valid")) == 2
    assert len(prepared(tables, valid_share=None).eval_part("valid")) == 3


def test_an_interrupted_preparation_is_made_again_in_the_same_folder(make_tables, prepared):
    dataset = prepared(make_tables())
    (dataset.folder / "about.json").unlink()
    (dataset.folder / "items" / "table" / "0.npy").write_bytes(b"half")
    again = prepared(make_tables(), folder=dataset.folder)
    assert again.items(np.arange(6)).values["id"].tolist() == [2, 3, 1, 1, 1, 4]
