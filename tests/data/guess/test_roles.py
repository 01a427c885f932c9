from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.data.guess.column import look
from tt_hydra.data.guess.features import Feature
from tt_hydra.data.guess.roles import Around, roles, written

QUERY = pl.Series(["u", "u", "u", "v", "v", "v"])
ITEM = pl.Series(["i", "j", "k", "i", "j", "k"])
ITEMS = pl.Series(["i", "j", "k", "l"])


def of(query=QUERY, **values):
    return roles([look(pl.Series(name, cells)) for name, cells in values.items()], Around(query, ITEM, ITEMS))


def test_a_split_names_training_and_test():
    assert of(part=["train", "Train", "dev", "test", "test", "test"]).split.column == "part"
    assert of(part=["train"] * 3 + ["valid"] * 3).split is None
    assert of(part=["train"] * 3 + ["test"] * 2 + ["other"]).split is None
    assert of(part=["train"] * 3 + ["test"] * 2 + [None]).split is None


def test_what_was_asked():
    texts = [f"red shoes {n}" for n in range(6)]
    assert of(search_terms=texts).text.column == "search_terms"
    assert of(words=texts).text is None, "somebody is known, so these texts may be anything"
    assert of(None, words=texts).text.column == "words"
    found = of(review=texts)
    assert found.text is None
    assert "would tell the answer" in found.left["review"].why


@pytest.mark.parametrize(
    ("name", "values", "weighs"),
    [
        ("relevance", [0, 1, 2, 1, 1, 2], True),
        ("score", [0, 1, 2, 1, 1, 2], True),
        ("clicked", [0, 1, 0, 1, 1, 1], True),
        ("clicked", [False, True, False, True, True, True], True),
        ("relevance", [-1, 1, 2, 1, 1, 2], False),
        ("weight", [0.5, None, 1, 1, 1, 1], False),
        ("rating", [1, 5, 4, 2, 2, 1], False),
        ("quantity", [1, 2, 7, 2, 3, 5], False),
    ],
)
def test_weights(name, values, weighs):
    found = of(**{name: values})
    assert (found.weight is not None) == weighs
    assert weighs or name in [use.column for use in found.labels] or name in found.left
    if weighs and 0 in values:
        assert "0 drops" in found.weight.why


def test_labels_say_what_came_of_it():
    assert [use.column for use in of(rating=[1, 5, 4, 2, 2, 1], sales_value=[1.5, 2, 3, 4, 5, 6]).labels] == ["rating", "sales_value"]


def test_items_that_were_shown():
    shown = of(impressions=["i j", "k", "l i", "i", "j", "k l"]).impressions
    assert (shown.column, shown.sep) == ("impressions", " ")
    listed = of(slate=[["i", "j"], [], ["l"], ["i"], ["j", "k"], ["k", "l"]]).impressions
    assert (listed.column, listed.sep) == ("slate", None)
    assert of(tags=[["x", "y"], [], ["x"], ["x"], ["y", "x"], ["y"]]).impressions is None


def test_context_is_what_is_known_before():
    found = of(device=["a", "b", "a", "b", "a", "a"], age=[20, 20, 20, 30, 30, 30], mood=["x", "y", "x", "y", "y", "y"])
    assert list(found.context) == ["device", "age"]
    assert "the same in all events of a query" in found.context["age"].why
    assert found.left["mood"].instead == "categorical"


def test_what_goes_with_the_item_tells_the_answer():
    found = of(category=["a", "b", "c", "a", "b", "c"])
    assert "would tell the answer" in found.left["category"].why
    assert not found.context


def test_a_kind_of_event_is_asked_about():
    assert "every row counts as a success" in of(event_type=["view", "buy", "view", "view", "buy", "view"]).left["event_type"].why


def test_names_that_mean_something_else():
    assert "rename" in of(query=["a", "b", "a", "b", "a", "a"], item=[1, 2, 1, 2, 1, 1]).left["item"].why


def test_every_column_has_one_place():
    given = {"part": ["train", "test"] * 3, "teacher_score": [0.5] * 5 + [1], "x": list("ababaa"), "y": [1, 2, 3, 4, 5, 6], "same": [1] * 6}
    found = of(**given)
    uses = [use.column for use in (found.split, found.teacher, found.weight, found.text) if use] + [use.column for use in found.labels]
    assert sorted([*uses, *found.context, *found.left]) == sorted(given)


def test_features_as_yaml():
    assert written(Feature("numeric", "")) == "numeric"
    assert written(Feature("multi", "", sep="|")) == '{kind: multi, sep: "|"}'
    assert written(Feature("numeric", "", normalize="log")) == "{kind: numeric, normalize: log}"
