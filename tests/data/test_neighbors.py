from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import PAD, Kind, Ragged
from tt_hydra.data import neighbors as module
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec
from tt_hydra.data.neighbors import neighbors, neighbors_column
from tt_hydra.errors import ConfigError, DataError

BY_ID = {"id": FeatureSpec(kind="categorical")}


def lists(ragged: Ragged) -> list[list[int]]:
    return [ragged.values[first:last].tolist() for first, last in zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)]


def test_by_hand() -> None:
    """q0 takes 0 and 1, q1 takes 0, 1 and 2, q2 takes 3 alone.

    Items 0 and 1: (1/2 + 1/3) / sqrt(2 * 2); 0 and 2: 1/3 / sqrt(2 * 1); so 1 is nearer to 0 than 2 is.
    """
    found = neighbors(np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 0, 1, 2, 3]), 5, 2)
    assert lists(found) == [[1, 2], [0, 2], [0, 1], [], []]


@pytest.mark.parametrize("products", [1, 50, 10**6])
def test_is_what_a_dense_matrix_gives(monkeypatch: pytest.MonkeyPatch, products: int) -> None:
    monkeypatch.setattr(module, "PRODUCTS", products)
    rng = np.random.default_rng(1)
    taken = rng.random((30, 25)) < 0.15
    taken[:, 7] = False
    queries, items = np.nonzero(taken)
    found = lists(neighbors(queries, items, 25, 4))
    scaled = taken / np.sqrt(np.maximum(1, taken.sum(axis=1)))[:, None] / np.sqrt(np.maximum(1, taken.sum(axis=0)))
    near = np.round(scaled.T @ scaled, 12)
    for row in range(25):
        others = sorted((-near[row, other], other) for other in range(25) if other != row and near[row, other] > 0)
        assert sorted(np.round([near[row, other] for other in found[row]], 10)) == sorted(np.round([-score for score, _ in others[:4]], 10))
        assert row not in found[row]
        assert len(set(found[row])) == len(found[row])


def test_no_pairs_give_no_neighbors() -> None:
    nothing = np.empty(0, np.int64)
    assert lists(neighbors(nothing, nothing, 2, 3)) == [[], []]
    assert neighbors_column(neighbors(nothing, nothing, 2, 3), pl.Series(["a", "b"])).to_list() == [[], []]


def test_they_are_a_feature_of_the_item_and_know_the_training_part_alone(make_tables, prepared) -> None:
    """u1 trains on a and b (c is validation, d test), u2 on nothing but its last two's past: a, c are validation and test."""
    dataset = prepared(make_tables(declaration=Declaration(items=BY_ID, history=HistorySpec(), neighbors=3)))
    training = [(dataset.events["query"][at], dataset.events["item"][at]) for at in dataset.train.positions]
    beside = {item: {other for query, other in training for mine, its in training if mine == query and its == item} for _, item in training}
    ids = dataset.item_ids.to_list()
    expected = [sorted(ids[other] for other in beside.get(row, set()) - {row}) for row in range(len(ids))]
    assert any(expected)
    assert [sorted(each) for each in dataset.display["neighbors"].to_list()] == expected
    feature = next(each for each in dataset.schema.item.features if each.name == "neighbors")
    assert feature.kind is Kind.MULTI
    encoded = dataset.items(np.arange(dataset.num_items)).values["neighbors"]
    assert (encoded.mask & (encoded.ids != PAD)).sum(dim=1).tolist() == [len(each) for each in expected]


def test_a_new_item_names_its_own_or_has_none(random_tables, prepared) -> None:
    tables = random_tables(SplitSpec(kind="leave_last_out"), neighbors=4)
    dataset = prepared(tables)
    known = dataset.display["neighbors"][0].to_list()
    assert known
    new = dataset.featurizer.encode_items([{"id": "new", "neighbors": known}, {"id": "bare"}]).values["neighbors"]
    stored = dataset.items(np.array([0])).values["neighbors"]
    assert new.ids[0][new.mask[0]].tolist() == stored.ids[0][stored.mask[0]].tolist()
    assert not new.mask[1].any()


def test_a_column_of_that_name_is_not_overwritten(make_tables, prepared) -> None:
    items = make_tables().items.with_columns(neighbors=pl.lit("mine"))
    with pytest.raises(DataError, match=r"the column 'neighbors' has the name of the feature that data\.neighbors adds"):
        prepared(make_tables(items=items, declaration=Declaration(items=BY_ID, history=HistorySpec(), neighbors=2)))


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "20"])
def test_a_number_that_makes_no_sense(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.neighbors=.* a whole number, such as 20; 0 for none"):
        Declaration(items=BY_ID, neighbors=wrong)  # type: ignore[arg-type]


def test_a_declared_feature_of_that_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="two features of the item side are called 'neighbors'"):
        Declaration(items={"neighbors": FeatureSpec(kind="multi")}, neighbors=2)
