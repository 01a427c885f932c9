"""What a data source declares: the features of each side, history, statistics and the split.

The classes are the YAML of a data source, node by node; ``coerce`` makes one from such a node. They hold names and numbers, never data.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from tt_hydra.errors import ConfigError

FeatureKind = Literal["text", "categorical", "multi", "numeric", "time"]
Normalize = Literal["standard", "log", "none"]
SplitKind = Literal["leave_last_out", "temporal", "random", "given"]

FEATURE_KINDS: tuple[str, ...] = get_args(FeatureKind)
STATISTIC = re.compile(r"count|rate_[1-9]\d*[dh]")

T = TypeVar("T")


def nearest(name: object, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the known name closest to ``name``, or an empty string."""
    names = list(known)
    match = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    folded = [other for other in names if other.lower() == str(name).lower()]
    return f" (did you mean {(folded or match)[0]!r}?)" if folded or match else ""


def check_choice(where: str, value: object, allowed: Iterable[str]) -> None:
    """Raises ConfigError unless ``value`` is one of the allowed names."""
    names = tuple(allowed)
    if value not in names:
        raise ConfigError(f"{where}={value!r} is none of {', '.join(names)}{nearest(value, names)}")


def check_share(where: str, value: float) -> None:
    """Raises ConfigError unless ``value`` is a share: at least 0, below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ConfigError(f"{where}={value!r} is no share: a number that is at least 0 and below 1, such as 0.1")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSpec:
    """How one column becomes a feature.

    Attributes:
        kind: text, categorical, multi (several categories in one cell), numeric or time (hour and weekday of a timestamp).
        sep: multi: what separates the values of a cell that is a string; a list column needs none.
        bins: numeric: cut into this many quantile buckets, which become categories; 0 keeps the number.
        normalize: numeric: ``standard`` (zero mean, unit variance), ``log`` (the same after log1p) or ``none``.
        min_count: categorical, multi: values seen less often than this in the training part count as unknown.
    """

    kind: FeatureKind
    sep: str = "|"
    bins: int = 0
    normalize: Normalize = "standard"
    min_count: int = 1

    def __post_init__(self) -> None:
        check_choice("feature kind", self.kind, FEATURE_KINDS)
        check_choice("feature normalize", self.normalize, get_args(Normalize))
        if self.bins < 0 or self.bins == 1:
            raise ConfigError(f"feature bins={self.bins}: 0 keeps the number, 2 or more cut it into that many buckets")
        if self.min_count < 1:
            raise ConfigError(f"feature min_count={self.min_count}: at least 1")
        if not self.sep:
            raise ConfigError("feature sep is empty: one or more characters that separate the values of a cell, such as '|'")


Features = dict[str, FeatureKind | FeatureSpec | None]
"""Features by column, as they are written: ``age: numeric`` or ``genres: {kind: multi, sep: "|"}``; None leaves a column out."""


def parse_features(features: Mapping[str, Any] | None, where: str = "features") -> dict[str, FeatureSpec]:
    """Features by column name from their YAML: ``age: numeric`` or ``genres: {kind: multi, sep: "|"}``.

    Args:
        features: the node; None means no feature. A column whose own value is None is left out.
        where: dotted path of the node, for messages.

    Raises:
        ConfigError: no mapping, an unknown kind or an unknown key, with the nearest valid name.
    """
    if features is None:
        return {}
    if not isinstance(features, Mapping):
        raise ConfigError(f"{where} maps columns to kinds, for example {{title: text, price: numeric}}; got {features!r}")
    return {str(name): _feature(spec, f"{where}.{name}") for name, spec in features.items() if spec is not None}


def _feature(spec: Any, where: str) -> FeatureSpec:
    if isinstance(spec, str):
        check_choice(where, spec, FEATURE_KINDS)
        return FeatureSpec(kind=spec)  # type: ignore[arg-type]  # checked above
    return coerce(FeatureSpec, spec, where)


def coerce(kind: type[T], value: Any, where: str) -> T:
    """An instance of the dataclass ``kind`` from itself or from a mapping of its fields.

    Raises:
        ConfigError: unknown or missing keys, with the nearest valid name, or a value that ``kind`` refuses.
    """
    if isinstance(value, kind):
        return value
    names = [each.name for each in dataclasses.fields(kind)]  # type: ignore[arg-type]  # every caller gives a dataclass
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} is a mapping with the keys {', '.join(names)}; got {value!r}")
    for key in value:
        if key not in names and key != "_target_":
            raise ConfigError(f"{where}.{key} is no key: allowed are {', '.join(names)}{nearest(key, names)}")
    try:
        return kind(**{key: item for key, item in value.items() if key != "_target_"})
    except TypeError as error:
        raise ConfigError(f"{where}: {error}; the keys are {', '.join(names)}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class HistorySpec:
    """A query's earlier items as a feature.

    Attributes:
        max_length: how many of the latest items are kept.
        ordered: whether the interactions have an order. Where they have none, a history is not what came before: it is all other items
            of the query that the part may look back on, each once, in an order drawn with the seed.
    """

    max_length: int = 50
    ordered: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.max_length, bool) or not isinstance(self.max_length, int) or self.max_length < 1:
            raise ConfigError(f"history.max_length={self.max_length!r}: a whole number, at least 1 (history: null for no history)")


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSpec:
    """How interactions are divided into training, validation and test.

    Attributes:
        kind: ``leave_last_out`` (each query's last event is test, the one before validation), ``temporal`` (by the two times),
            ``random`` (by the two shares: of the events, or of the queries where nothing but their texts is known of them, since one that
            was trained on is no new one) or ``given`` (each row says its part).
        learn_from: temporal: first moment of the training part; what is earlier is looked back on, but not learnt from..
        valid_from: temporal: first moment of the validation part, as an ISO date or in the unit of the time column. None: there is
            no validation part of its own, and ``valid`` of the training queries are held out.
        test_from: temporal: first moment of the test part.
        valid: random: share of the interactions or queries; given and temporal without a validation part: share of the training queries.
        test: random: share of the interactions or queries.
    """

    kind: SplitKind = "leave_last_out"
    learn_from: str | int | None = None
    valid_from: str | int | None = None
    test_from: str | int | None = None
    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        check_choice("split.kind", self.kind, get_args(SplitKind))
        check_share("split.valid", self.valid)
        check_share("split.test", self.test)
        if self.kind == "temporal" and self.test_from is None:
            raise ConfigError("split.kind=temporal needs split.test_from: the first moment of the test part, such as '2024-06-01'")
        if self.kind != "temporal" and not (self.learn_from is None and self.valid_from is None and self.test_from is None):
            raise ConfigError(
                f"split.learn_from, split.valid_from and split.test_from are read by split.kind=temporal only; got split.kind={self.kind}"
            )
        if self.kind == "random" and self.valid + self.test >= 1:
            raise ConfigError(f"split.valid={self.valid} and split.test={self.test} leave nothing to train on")


def check_statistics(names: Iterable[str]) -> tuple[str, ...]:
    """The names of item statistics, checked: ``count`` or ``rate_<N>d``, ``rate_<N>h``."""
    for name in names:
        if not STATISTIC.fullmatch(str(name)):
            raise ConfigError(f"statistics: {name!r} is no statistic: allowed are count, and rate_<N>d or rate_<N>h such as rate_7d")
    return tuple(names)


def check_neighbors(most: int) -> int:
    """How many neighbours an item has as a feature, checked: a whole number from 0."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise ConfigError(f"data.neighbors={most!r}: a whole number, such as 20; 0 for none")
    return most


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """What the columns of a source mean.

    Attributes:
        queries: features of the queries table, by column.
        items: features of the items table, by column.
        context: features of the event, by column of the interactions; they belong to the query side.
        history: None for no history.
        statistics: item statistics over earlier events: ``count``, ``rate_7d``, ``rate_12h`` ...
        neighbors: how many of the items that the same queries took in the training part are a feature of an item; 0 for none.
        split: how the parts are made; its times are in the unit of the tables' ``time`` column once a source has been read.
        text: whether each interaction carries its own query text, in its column ``text``.
        labels: columns of the interactions that say what came of an event (a rating); no tower sees them.
        only_new: whether validation and test ask only for items that the query did not have before.
    """

    queries: dict[str, FeatureSpec] = field(default_factory=dict)
    items: dict[str, FeatureSpec] = field(default_factory=dict)
    context: dict[str, FeatureSpec] = field(default_factory=dict)
    history: HistorySpec | None = None
    statistics: tuple[str, ...] = ()
    neighbors: int = 0
    split: SplitSpec = SplitSpec()
    text: bool = False
    labels: tuple[str, ...] = ()
    only_new: bool = False

    def __post_init__(self) -> None:
        check_statistics(self.statistics)
        check_neighbors(self.neighbors)
        leaked = next((name for name in self.labels if name in self.context), None)
        if leaked is not None:
            raise ConfigError(f"{leaked!r} is a label and a context feature: what came of an event cannot be known before it; keep one")
        given = {"history": self.history is not None, "text": self.text}
        query_side = [*self.queries, *self.context, *(name for name, there in given.items() if there)]
        item_side = [*self.items, *self.statistics, *(["neighbors"] if self.neighbors else [])]
        for side, names in (("query", query_side), ("item", item_side)):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ConfigError(f"two features of the {side} side are called {twice!r}: rename a column")
