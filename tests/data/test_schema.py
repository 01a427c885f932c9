from __future__ import annotations

import polars as pl
import pytest

from tt_hydra.contracts import Kind
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec
from tt_hydra.data.schema import declared
from tt_hydra.errors import DataError

CATEGORY = FeatureSpec(kind="categorical")


def test_derived_features_are_resolved(make_tables, prepared):
    declaration = Declaration(
        queries={"age": FeatureSpec(kind="numeric", bins=2)},
        items={"title": FeatureSpec(kind="text"), "price": FeatureSpec(kind="numeric"), "genres": FeatureSpec(kind="multi")},
        context={"time": FeatureSpec(kind="time")},
        history=HistorySpec(),
        statistics=("count",),
    )
    schema = prepared(make_tables(declaration=declaration)).schema
    assert [(feature.name, feature.kind) for feature in schema.query.features] == [
        ("age", Kind.CATEGORICAL),
        ("time.hour", Kind.CATEGORICAL),
        ("time.weekday", Kind.CATEGORICAL),
        ("history", Kind.HISTORY),
    ]
    assert [(feature.name, feature.kind) for feature in schema.item.features] == [
        ("title", Kind.TEXT),
        ("price", Kind.NUMERIC),
        ("genres", Kind.MULTI),
        ("statistics.count", Kind.NUMERIC),
    ]


def test_a_side_that_declares_nothing_has_its_id(make_tables):
    features = declared(make_tables(declaration=Declaration()))
    assert features.queries == features.items == {"id": CATEGORY}


def test_the_text_of_interactions_stands_for_the_query_id(make_tables):
    tables = make_tables(declaration=Declaration(text=True))
    features = declared(make_tables(declaration=Declaration(text=True), interactions=tables.interactions.with_columns(text=pl.lit("hi"))))
    assert (features.queries, features.context) == ({}, {"text": FeatureSpec(kind="text")})


def test_who_has_a_history_need_not_be_known_by_id(make_tables):
    features = declared(make_tables(declaration=Declaration(history=HistorySpec(), statistics=("count",))))
    assert (features.queries, features.items) == ({}, {})


@pytest.mark.parametrize(
    ("declaration", "changes", "message"),
    [
        (Declaration(items={"gendres": CATEGORY}), {}, "items: no column 'gendres'.*did you mean 'genres'"),
        (Declaration(queries={"x": CATEGORY}), {}, "queries: no column 'x'"),
        (Declaration(context={"devise": CATEGORY}), {}, "did you mean 'device'"),
        (Declaration(text=True), {}, "context: no column 'text'"),
        (Declaration(statistics=("rate_1d",)), {"time_unit": "step"}, "'rate_1d' needs times"),
        (Declaration(context={"time": FeatureSpec(kind="time")}), {"time_unit": "step"}, "say no hour"),
    ],
)
def test_a_declaration_that_the_tables_cannot_fill(make_tables, declaration, changes, message):
    with pytest.raises(DataError, match=message):
        declared(make_tables(declaration=declaration, **changes))


def test_statistics_need_times(make_tables):
    interactions = make_tables().interactions.drop("time")
    with pytest.raises(DataError, match="statistics need a time"):
        declared(make_tables(declaration=Declaration(statistics=("count",)), interactions=interactions))
