from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.data.guess.draft import draft
from tt_hydra.data.guess.side import Given

DAY = 86_400
START = 1_700_006_400


def events(**more):
    """Ten users with twelve events each, all of them from the first day to the last."""
    rows = [(f"u{n % 10}", f"i{n * 7 % 24}", START + n * DAY) for n in range(120)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.with_columns(pl.Series(name, values) for name, values in more.items())


def items(**more):
    frame = pl.DataFrame({"item_id": [f"i{n}" for n in range(24)], "title": [f"film number {n}" for n in range(24)]})
    return frame.with_columns(pl.Series(name, values) for name, values in more.items())


def of(interactions, items=None, queries=None):
    given = [None if frame is None else Given(name, frame) for name, frame in (("items", items), ("queries", queries))]
    return draft(Given("events", interactions), *given)


def test_people_with_a_past():
    found = of(events(), items(), pl.DataFrame({"user_id": [f"u{n}" for n in range(10)], "age": [20.5 + n % 3 for n in range(10)]}))
    assert (found.query.event, found.item.event, found.moment.column.name) == ("user_id", "item_id", "timestamp")
    assert list(found.queries.features) == ["user_id", "age"]
    assert list(found.items.features) == ["item_id", "title"]
    assert found.history
    assert not found.searches
    assert not found.takes_again
    assert found.division.kind == "temporal"


def test_what_is_seldom_is_not_learnt_by_its_id():
    few = of(events().head(40), items())
    assert few.habits.per_item == pytest.approx(40 / 24)
    assert list(few.items.features) == ["title"]
    assert "too few to learn each by itself" in few.items.left["item_id"].why
    assert list(of(events().head(40), items().select("item_id")).items.features) == ["item_id"], "there is nothing else"


def test_purchases_that_repeat():
    again = pl.concat([events(), events().with_columns(pl.col("timestamp") + 7)])
    assert of(again, items()).takes_again


def test_rows_that_are_dropped_while_reading_are_no_habits():
    """Of rows that are the same reading keeps one, and none of weight 0: neither is an item taken again."""
    assert of(pl.concat([events(), events()]), items()).habits == of(events(), items()).habits
    shown = events(clicked=[0] * 120).with_columns(pl.col("timestamp") + 7)
    assert of(pl.concat([events(clicked=[1] * 120), shown, shown]), items()).habits == of(events(), items()).habits
    untimed = events().drop("timestamp")
    assert not of(pl.concat([untimed, untimed]), items()).takes_again, "without a time, to take an item twice is the same row"


def test_each_text_is_a_query_where_nobody_is_known():
    found = of(events(search=[f"film like {n % 30}" for n in range(120)]).drop("user_id"), items())
    assert found.texts_are_queries
    assert found.searches
    assert not found.asks_query
    assert not found.history
    assert found.habits.per_query == 4.0


def test_somebody_known_who_searches():
    found = of(events(search=[f"film like {n % 30}" for n in range(120)]), items())
    assert found.query.event == "user_id"
    assert found.roles.text.column == "search"
    assert found.history
    assert found.searches


def test_questions_are_known_by_their_texts():
    judged = events().select(pl.col("user_id").alias("query_id"), pl.col("item_id").alias("doc_id"))
    questions = pl.DataFrame({"id": [f"u{n}" for n in range(10)], "text": [f"where is number {n}" for n in range(10)]})
    found = of(judged, items(), questions)
    assert list(found.queries.features) == ["text"]
    assert not found.history
    assert found.searches


def test_who_asked_is_a_question_where_two_would_do():
    found = of(events(customer_id=[f"c{n % 7}" for n in range(120)]), items())
    assert found.asks_query
    assert found.query.candidates == ("user_id", "customer_id")


def test_what_was_taken_is_a_question_without_a_table():
    found = of(events(product_id=[f"p{n % 9}" for n in range(120)]))
    assert found.item.candidates == ("item_id", "product_id")
    assert found.items.path is None


def test_the_rows_say_their_part():
    found = of(events(split=["train"] * 100 + ["test"] * 20), items())
    assert found.division.kind == "given"
    assert found.roles.split.column == "split"


def test_a_name_on_both_sides_of_the_query_stays_with_the_table():
    users = pl.DataFrame({"user_id": [f"u{n}" for n in range(10)], "country": ["de"] * 5 + ["fr"] * 5})
    found = of(events(country=(["de"] * 5 + ["fr"] * 5) * 12), items(), users)
    assert "country" in found.queries.features
    assert "rename" in found.roles.left["country"].why


def test_names_that_mean_something_else_are_left_out():
    users = pl.DataFrame({"user_id": [f"u{n}" for n in range(10)], "history": ["a", "b"] * 5, "id": ["x", "y"] * 5})
    found = of(events(), items(), users)
    assert list(found.queries.features) == ["user_id"]
    assert all("rename" in found.queries.left[name].why for name in ("history", "id"))
