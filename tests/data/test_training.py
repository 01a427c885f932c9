from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import polars as pl

from tt_hydra.contracts import Drawn, Origin
from tt_hydra.data.batches import assemble
from tt_hydra.data.declaration import Declaration, FeatureSpec, SplitSpec
from tt_hydra.data.tables import Tables
from tt_hydra.negatives.ranking import all_positives
from tt_hydra.train.targets import targets_of

TEXT = {"text": FeatureSpec(kind="text")}


def text_pairs(queries: list[str], items: list[str], pairs: list[tuple[int, int]]) -> Tables:
    """Pairs of (query, item), all in the training part, and one in each of the others."""
    rows = [*pairs, (0, 0), (0, 0)]
    interactions = pl.DataFrame(
        {
            "query": [f"q{query}" for query, _ in rows],
            "item": [f"d{item}" for _, item in rows],
            "split": ["train"] * len(pairs) + ["valid", "test"],
        }
    )
    return Tables(
        queries=pl.DataFrame({"id": [f"q{row}" for row in range(len(queries))], "text": queries}),
        items=pl.DataFrame({"id": [f"d{row}" for row in range(len(items))], "text": items}),
        interactions=interactions,
        declaration=Declaration(queries=TEXT, items=TEXT, split=SplitSpec(kind="given")),
        fingerprint="-",
    )


def test_texts_that_differ_in_case_and_spaces_are_one_question_with_the_positives_of_all(prepared):
    dataset = prepared(text_pairs(["What is  X?", "other", "what is x? "], ["a", "b", "c"], [(0, 0), (1, 1), (1, 2), (2, 2)]))
    view = dataset.training_view()
    assert dataset.train.query_rows.tolist() == [0, 1, 1, 2]
    assert view.questions[0] == view.questions[3] != view.questions[1] == view.questions[2]
    assert view.known.row(view.questions[0]).tolist() == [0, 2]
    assert view.known.row(view.questions[1]).tolist() == [1, 2]
    assert [view.question_texts()[question] for question in view.questions] == ["What is  X?", "other", "other", "What is  X?"]
    assert list(view.item_texts()) == ["a", "b", "c"]


def test_queries_that_have_more_than_a_text_keep_their_positives_to_themselves(prepared):
    """The first and the third have one text; by their ids they are two people."""
    tables = text_pairs(["nurse", "cook", "nurse"], ["a", "b", "c"], [(0, 0), (1, 1), (2, 2)])
    people = replace(tables.declaration, queries={**TEXT, "id": FeatureSpec(kind="categorical")})
    for declaration, expected in ((people, [[0], [1], [2]]), (tables.declaration, [[0, 2], [1]])):
        known = all_positives(prepared(replace(tables, declaration=declaration)).training_view())
        assert sorted(known.row(question).tolist() for question in range(len(known))) == expected


def test_the_positives_of_another_spelling_are_no_negatives_in_a_batch(prepared):
    """Query 0 asks what query 2 asks: d0 and d2 answer both. Query 1 asks something else."""
    dataset = prepared(text_pairs(["What is  X?", "other", "what is x? "], ["a", "b", "c"], [(0, 0), (1, 1), (2, 2)]))
    nothing = Drawn.shared(np.zeros(0, np.int64), Origin.IN_BATCH)
    batch = assemble(dataset, np.array([2, 1, 0]), nothing, in_batch=True, log_presence=lambda rows: np.zeros(len(rows), np.float32))
    assert batch.known.tolist() == [[0, 0], [0, 2], [1, 1], [2, 0], [2, 2]]
    left_out = targets_of(batch).excluded(slice(0, 3))
    assert left_out.tolist() == [[True, False, False], [False, False, False], [False, False, True]]


def test_items_with_lists_have_the_content_of_their_texts_and_lists(prepared):
    """The second and the third differ in a list of tags alone, the last two in their id; a column that is no feature says nothing."""
    tables = text_pairs(["x", "y"], ["a", "b", "b", "B ", "b"], [(0, 1), (1, 2)])
    lists = {"tags": [["u"], ["u"], ["v"], ["u", "w"], ["w", "u"]], "shelves": [[1], None, [2], [3], [4]]}
    items = tables.items.with_columns(**{name: pl.Series(values) for name, values in lists.items()}, sku=pl.col("id"))
    features = {**TEXT, "tags": FeatureSpec(kind="multi"), "sku": FeatureSpec(kind="categorical")}
    declaration = replace(tables.declaration, items=features)
    content = prepared(replace(tables, items=items, declaration=declaration)).training_view().content()
    assert len(np.unique(content)) == 4
    assert content[3] == content[4]


def test_known_positives_are_those_of_the_training_part_alone(prepared):
    view = prepared(text_pairs(["x", "y"], ["a", "b", "c"], [(0, 1), (1, 2)])).training_view()
    assert [row.tolist() for row in map(view.known.row, range(2))] == [[1], [2]]
    assert view.counts.tolist() == [0, 1, 1]


def test_events_with_texts_ask_a_question_for_each_text_of_a_query(prepared, make_tables):
    texts = pl.Series(["a", "a", "b", "z", "a", "a", "x"])
    declaration = Declaration(text=True, queries={"id": FeatureSpec(kind="categorical")}, split=SplitSpec(kind="leave_last_out"))
    tables = make_tables(declaration=declaration, interactions=make_tables().interactions.with_columns(text=texts))
    dataset = prepared(tables)
    view = dataset.training_view()
    assert list(zip(dataset.train.query_rows, dataset.train.item_rows, strict=True)) == [(0, 0), (0, 1), (1, 0), (2, 5)]
    assert view.questions.tolist() == [0, 0, 1, 2]
    assert [view.known.row(row).tolist() for row in range(3)] == [[0, 1], [0], [5]]
    assert list(view.question_texts()) == ["a", "a", "x"]


def test_without_texts_every_query_with_a_training_pair_asks_one_question(prepared, random_tables):
    dataset = prepared(random_tables(SplitSpec(kind="leave_last_out")))
    view = dataset.training_view()
    rows = np.unique(dataset.train.query_rows)
    assert np.array_equal(rows[view.questions], dataset.train.query_rows)
    assert all(np.array_equal(view.known.row(question), dataset.known.row(row)) for question, row in enumerate(rows))
    assert view.question_texts is None
    assert view.item_texts is None


def test_content_is_equal_where_the_features_are_whatever_the_id(prepared, make_tables):
    items = pl.DataFrame(
        {
            "id": list("abcdef"),
            "title": ["Star  Wars", "star wars", "star wars", "STAR WARS", "starwars", "\uff33tar Wars"],
            "genres": ["x|y", "y|x", "x", "x|y", "x|y", "x|y"],
            "price": [1.0, 1.0, 1.0, None, 1.0, 1.0],
        }
    )
    numbers = prepared(make_tables(items=items)).training_view().content()
    assert numbers[0] == numbers[1] == numbers[5]
    assert len(set(numbers.tolist())) == 4


def test_items_of_blank_texts_equal_nobody(prepared, make_tables):
    """All six agree in genre and price; the third has no title but a summary, and so has the fourth."""
    texts = {"title": ["", None, " ", "", "same", "Same"], "about": [None, "  ", "so", "SO", "", ""]}
    items = make_tables().items.with_columns(
        genres=pl.lit("x"), price=pl.lit(1.0), **{name: pl.Series(each) for name, each in texts.items()}
    )
    features = {"title": FeatureSpec(kind="text"), "about": FeatureSpec(kind="text"), "genres": FeatureSpec(kind="multi")}
    declaration = Declaration(items=features, split=SplitSpec(kind="leave_last_out"))
    numbers = prepared(make_tables(items=items, declaration=declaration)).training_view().content().tolist()
    assert numbers[2] == numbers[3]
    assert numbers[4] == numbers[5]
    assert len(set(numbers)) == 4
    assert max(numbers) < 6, "pairs of a question and a content are numbered"


def test_items_that_have_no_text_are_told_apart_by_their_id(prepared, make_tables):
    features = {"id": FeatureSpec(kind="categorical"), "genres": FeatureSpec(kind="multi")}
    items = make_tables().items.with_columns(genres=pl.lit("x"))
    dataset = prepared(make_tables(items=items, declaration=Declaration(items=features, split=SplitSpec(kind="leave_last_out"))))
    numbers = dataset.training_view().content()
    trained = dataset.catalogue.table.columns["id"] > 1
    assert len(set(numbers[trained].tolist())) == trained.sum() == 3


def test_a_view_can_be_sent_to_another_process(prepared, make_tables):
    view = prepared(make_tables()).training_view()
    again = pickle.loads(pickle.dumps(view))
    assert np.array_equal(again.content(), view.content())
    assert list(again.item_texts()) == list(view.item_texts())
