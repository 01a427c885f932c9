from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import polars as pl
import pytest

from tt_hydra.contracts import Features
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec

DAY = 24 * 3_600_000_000
SPLITS = {
    "leave_last_out": SplitSpec(kind="leave_last_out"),
    "temporal": SplitSpec(kind="temporal", valid_from=25 * DAY, test_from=32 * DAY),
    "held out": SplitSpec(kind="temporal", test_from=32 * DAY),
    "random": SplitSpec(kind="random", valid=0.2, test=0.2),
    "given": SplitSpec(kind="given"),
}
VISIBLE = {"train": {0}, "valid": {0}, "test": {0, 1}}


def histories(features: Features) -> list[list[int]]:
    history = features.values["history"]
    rows = history.items.rows.numpy()
    return [rows[ids[mask]].tolist() for ids, mask in zip(history.positions.ids.numpy(), history.positions.mask.numpy(), strict=True)]


def test_the_parts_of_the_hand_made_source(make_tables, prepared):
    dataset = prepared(make_tables())
    assert list(zip(dataset.train.query_rows, dataset.train.item_rows, strict=True)) == [(0, 0), (0, 1), (1, 0), (2, 5)]
    valid, test = dataset.eval_part("valid"), dataset.eval_part("test")
    assert valid.query_rows.tolist() == [0]
    assert (valid.relevant.row(0).tolist(), valid.seen.row(0).tolist()) == ([2], [0, 1])
    assert test.query_rows.tolist() == [0, 1]
    assert [test.relevant.row(row).tolist() for row in range(2)] == [[3], [2]]
    assert [test.seen.row(row).tolist() for row in range(2)] == [[0, 1, 2], [0]]
    assert dataset.query_ids.to_list() == ["u1", "u2", "u3", "u4"]
    assert dataset.item_ids.to_list() == list("abcdef")
    assert dataset.display["year"].to_list() == [1, 2, 3, 4, 5, 6]
    assert (dataset.display_column, dataset.num_queries, dataset.num_items) == ("title", 4, 6)


def test_histories_of_the_hand_made_source(make_tables, prepared):
    dataset = prepared(make_tables())
    assert histories(dataset.queries("train", np.arange(4))) == [[], [0], [], []]
    assert histories(dataset.queries("valid", np.arange(1))) == [[0, 1]]
    assert histories(dataset.queries("test", np.arange(2))) == [[1, 2], [0]]
    assert histories(dataset.last_queries(np.arange(4))) == [[2, 3], [0, 2], [5], []]


@pytest.mark.parametrize("name", ["random", "given", "temporal", "held out"])
def test_without_order_a_history_is_every_other_visible_item(random_tables, prepared, name):
    tables = random_tables(SPLITS[name], time=name in ("temporal", "held out"))
    declaration = dataclasses.replace(tables.declaration, history=HistorySpec(max_length=1000, ordered=False))
    dataset = prepared(dataclasses.replace(tables, declaration=declaration))
    events = list(zip(*(dataset.events[column].tolist() for column in ("query", "item", "part")), strict=True))
    for part in ("train", "valid", "test"):
        examples = dataset.train if part == "train" else dataset.eval_part(part)
        found = histories(dataset.queries(part, np.arange(len(examples))))
        targets = dataset.train.item_rows.tolist() if part == "train" else [-1] * len(examples)
        for query, target, history in zip(examples.query_rows, targets, found, strict=True):
            assert sorted(history) == sorted({item for owner, item, its in events if owner == query and its in VISIBLE[part]} - {target})
    last = histories(dataset.last_queries(np.arange(dataset.num_queries)))
    assert [set(each) for each in last] == [{item for owner, item, _ in events if owner == query} for query in range(dataset.num_queries)]


def test_a_batch_without_any_history_still_has_an_item_row(make_tables, prepared):
    history = prepared(make_tables()).queries("train", np.array([0, 2])).values["history"]
    assert not history.positions.mask.any()
    assert history.items.size == 1


def test_context_is_the_events_own(make_tables, prepared):
    dataset = prepared(make_tables())
    assert dataset.queries("train", np.arange(4)).values["device"].tolist() == [3, 2, 2, 2]
    assert dataset.queries("test", np.arange(2)).values["device"].tolist() == [1, 1]
    assert dataset.last_queries(np.array([2, 3])).values["device"].tolist() == [2, 1]


def test_each_interaction_may_carry_its_own_text(make_tables, prepared):
    interactions = make_tables().interactions.with_columns(text=pl.Series(["a", "bb cc", "", None, "ddd", "ü 東京", "x"]))
    dataset = prepared(make_tables(declaration=Declaration(text=True), interactions=interactions))
    tokens = dataset.queries("train", np.array([1, 2])).values["text"]
    assert tokens.ids.tolist() == [[2, 2], [3, 0]]
    assert dataset.queries("test", np.array([0])).values["text"].mask.tolist() == [[False]]
    assert dataset.last_queries(np.array([1, 3])).values["text"].mask.tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("name", "time"), [*((name, True) for name in SPLITS), ("leave_last_out", False), ("random", False), ("given", False)]
)
def test_parts_and_histories_agree_with_a_loop(random_tables, prepared, name, time):
    dataset = prepared(random_tables(SPLITS[name], time=time))
    events = list(zip(*(dataset.events[column].tolist() for column in ("query", "item", "part")), strict=True))
    for number, part in enumerate(("train", "valid", "test")):
        own = [position for position, event in enumerate(events) if event[2] == number]
        if part != "train":
            own = [position for position in own if not any(events[other][0] == events[position][0] for other in own if other < position)]
        assert own
        past = [
            [event[1] for event in events[:position] if event[0] == events[position][0] and event[2] in VISIBLE[part]] for position in own
        ]
        assert histories(dataset.queries(part, np.arange(len(own)))) == [rows[-3:] for rows in past]
        if part == "train":
            assert [(events[position][0], events[position][1]) for position in own] == list(
                zip(dataset.train.query_rows.tolist(), dataset.train.item_rows.tolist(), strict=True)
            )
            continue
        example = dataset.eval_part(part)
        for row, query in enumerate(example.query_rows.tolist()):
            assert example.relevant.row(row).tolist() == sorted({event[1] for event in events if event[0] == query and event[2] == number})
            assert example.seen.row(row).tolist() == sorted({e[1] for e in events if e[0] == query and e[2] in VISIBLE[part]})


def test_statistics_count_only_what_was_before(make_tables, prepared):
    """u2 takes a on day 5, u1 takes a on day 10: training examples are a@10, b@20, a@5, f@1 with 1, 0, 0, 0 earlier events."""
    dataset = prepared(make_tables())
    train = dataset.train
    values = dataset.items(train.item_rows, train.times).values["statistics.count"]
    raw = np.log([2, 1, 1, 1])
    np.testing.assert_allclose(values[:, 0], (raw - raw.mean()) / raw.std(), rtol=1e-5)
    later = dataset.items(np.zeros(2, np.int64), np.array([5 * DAY, 5 * DAY + 1])).values["statistics.count"]
    np.testing.assert_allclose(later[:, 0], (np.log([1, 2]) - raw.mean()) / raw.std(), rtol=1e-5)


def test_standing_statistics_never_count_the_evaluated_part(make_tables, prepared):
    dataset = prepared(make_tables())
    scale = dataset.featurizer.scales[0]
    for as_of, counts in (("valid", [2, 1, 0, 0, 0, 1]), ("test", [2, 1, 1, 0, 0, 1])):
        values = dataset.items(np.arange(6), as_of=as_of).values["statistics.count"]
        np.testing.assert_allclose(values[:, 0] * scale.std + scale.mean, np.log1p(counts), atol=1e-6)
    assert (
        dataset.items(np.arange(6)).values["statistics.count"] == dataset.items(np.arange(6), as_of="valid").values["statistics.count"]
    ).all()


def test_a_temporal_split_has_its_statistics_stand_at_the_cutoff(random_tables, prepared):
    dataset = prepared(random_tables(SPLITS["temporal"]))
    assert dataset.begin == {"valid": 25 * DAY, "test": 32 * DAY}
    rows = np.arange(15)
    for as_of, cutoff in dataset.begin.items():
        at = dataset.items(rows, np.full(15, cutoff)).values
        standing = dataset.items(rows, as_of=as_of).values
        for name in ("statistics.count", "statistics.rate_7d"):
            np.testing.assert_allclose(standing[name], at[name], rtol=1e-6)


def test_the_items_of_a_history_have_no_statistics(make_tables, prepared):
    items = prepared(make_tables()).queries("test", np.arange(2)).values["history"].items
    assert items.values["statistics.count"].tolist() == [[0, 1]] * 3
    assert items.values["id"].tolist() == [2, 3, 1]


def test_a_query_that_was_never_trained_on_is_evaluated(prepared, random_tables):
    tables = random_tables(SPLITS["temporal"])
    newcomer = pl.DataFrame({"query": ["q0"], "item": ["i3"], "time": [39 * DAY], "weight": [2.0], "split": ["test"]})
    others = tables.interactions.filter(pl.col("query") != "q0")
    interactions = pl.concat([others, newcomer.cast(others.schema)])
    dataset = prepared(type(tables)(**{**vars(tables), "interactions": interactions}))
    test = dataset.eval_part("test")
    assert test.query_rows[0] == 0
    assert (test.relevant.row(0).tolist(), test.gains.row(0).tolist(), test.seen.row(0).tolist()) == ([3], [2], [])
    features = dataset.queries("test", np.array([0]))
    assert features.values["id"].tolist() == [1]
    assert histories(features) == [[]]
    assert dataset.log_counts()["test queries not in training"] == 1


def test_gains_are_the_greatest_weight(make_tables, prepared):
    interactions = pl.DataFrame(
        {
            "query": ["u1", "u1", "u1", "u2"],
            "item": ["b", "a", "b", "c"],
            "weight": [1.0, 2.0, 3.0, 1.0],
            "split": ["test", "test", "test", "train"],
        }
    )
    test = prepared(make_tables(declaration=Declaration(split=SPLITS["given"]), interactions=interactions)).eval_part("test")
    assert (test.relevant.row(0).tolist(), test.gains.row(0).tolist()) == ([0, 1], [2, 3])


def test_a_pickled_data_set_is_opened_again(make_tables, prepared):
    dataset = prepared(make_tables())
    again = pickle.loads(pickle.dumps(dataset))
    assert again.items(np.arange(6)).values["title"].ids.tolist() == dataset.items(np.arange(6)).values["title"].ids.tolist()
    for part, index in (("train", np.arange(4)), ("test", np.arange(2))):
        assert histories(again.queries(part, index)) == histories(dataset.queries(part, index))


def test_a_table_without_history_or_statistics(make_tables, prepared):
    declaration = Declaration(queries={"id": FeatureSpec(kind="categorical")}, history=None)
    dataset = prepared(make_tables(declaration=declaration))
    assert not dataset.time_dependent_items
    assert set(dataset.queries("train", np.arange(4)).values) == {"id"}
    assert set(dataset.items(np.arange(3), np.arange(3)).values) == {"id"}
    assert dataset.item_keys(np.array([3, 1]), np.array([0, 0])).tolist() == [3, 1]
    assert dataset.query_records(np.array([1])).columns == ["id"]


def test_a_long_history_is_cut_to_the_newest(make_tables, prepared):
    declaration = Declaration(history=HistorySpec(max_length=1))
    assert histories(prepared(make_tables(declaration=declaration)).last_queries(np.arange(4))) == [[3], [2], [5], []]
