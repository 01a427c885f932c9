"""Declarations: both forms of a feature, and errors that name the key and the nearest valid one."""

from __future__ import annotations

from typing import Any

import pytest

from tt_hydra.component import instantiate, spec_of
from tt_hydra.data.declaration import Declaration, FeatureSpec, HistorySpec, SplitSpec, check_statistics, coerce, parse_features
from tt_hydra.errors import ConfigError


def test_short_and_long_form() -> None:
    features = parse_features(
        {"age": "numeric", "genres": {"kind": "multi", "sep": ","}, "left_out": None, "made": FeatureSpec(kind="text")}
    )
    assert features == {"age": FeatureSpec(kind="numeric"), "genres": FeatureSpec(kind="multi", sep=","), "made": FeatureSpec(kind="text")}
    assert parse_features(None) == {}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"age": "numerc"}, "data.x.age='numerc' is none of .*did you mean 'numeric'"),
        ({"age": {"kind": "Numeric"}}, "data.x.age: feature kind='Numeric' is none of .*did you mean 'numeric'"),
        ({"age": {"kind": "numeric", "bin": 3}}, "data.x.age.bin is no key: .*did you mean 'bins'"),
        ({"age": {"sep": ","}}, "data.x.age: .*kind"),
        ({"age": {"kind": "numeric", "bins": 1}}, "bins=1: 0 keeps the number"),
        ({"age": {"kind": "numeric", "normalize": "minmax"}}, "normalize='minmax' is none of standard, log, none"),
        ({"age": {"kind": "multi", "sep": ""}}, "sep is empty"),
        ({"age": {"kind": "multi", "min_count": 0}}, "min_count=0: at least 1"),
        ({"age": 3}, "data.x.age is a mapping with the keys kind, "),
        (["age"], "data.x maps columns to kinds"),
    ],
)
def test_a_wrong_feature_is_named(features: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_features(features, "data.x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "leave_one_out"}, "did you mean 'leave_last_out'"),
        ({"kind": "temporal"}, "needs split.test_from"),
        ({"kind": "random", "valid": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"kind": "random", "valid": 1.5}, "split.valid=1.5 is no share"),
        ({"kind": "random", "test_from": "2024-01-01"}, "read by split.kind=temporal only"),
    ],
)
def test_a_split_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"data.split: .*{message}"):
        coerce(SplitSpec, values, "data.split")


def test_history_and_statistics_are_checked() -> None:
    assert check_statistics(["count", "rate_7d", "rate_12h"]) == ("count", "rate_7d", "rate_12h")
    with pytest.raises(ConfigError, match="'rate_7w' is no statistic"):
        check_statistics(["rate_7w"])
    with pytest.raises(ConfigError, match="max_length=0"):
        HistorySpec(max_length=0)


def test_two_features_of_a_side_need_two_names() -> None:
    text = {"text": FeatureSpec(kind="text")}
    with pytest.raises(ConfigError, match="two features of the query side are called 'text'"):
        Declaration(queries=text, text=True)
    with pytest.raises(ConfigError, match="two features of the item side are called 'count'"):
        Declaration(items={"count": FeatureSpec(kind="numeric")}, statistics=("count",))


def test_a_declaration_is_its_spec() -> None:
    declaration = Declaration(items={"genres": FeatureSpec(kind="multi")}, history=HistorySpec(max_length=3), statistics=("count",))
    assert instantiate(spec_of(declaration), Declaration) == declaration
