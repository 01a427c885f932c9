"""Which columns become features of which side, checked against the tables before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tt_hydra.contracts import Feature, Kind, Schema, SideSchema
from tt_hydra.data.declaration import FeatureSpec, nearest
from tt_hydra.data.encoders import Encoder
from tt_hydra.data.statistics import Scale, window_hours
from tt_hydra.data.tables import Tables
from tt_hydra.errors import DataError

HISTORY = "history"
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Declared:
    """The declared features by the table that they are read from; the interactions' own text is one of the context features."""

    queries: Mapping[str, FeatureSpec]
    context: Mapping[str, FeatureSpec]
    items: Mapping[str, FeatureSpec]


def declared(tables: Tables) -> Declared:
    """The features of both sides; a side that has nothing else is known by its id.

    Raises:
        DataError: a column is not there, or statistics and time features lack a clock.
    """
    declaration = tables.declaration
    by_id = {"id": FeatureSpec(kind="categorical")}
    context = dict(declaration.context) | ({TEXT: FeatureSpec(kind="text")} if declaration.text else {})
    queries = declaration.queries or ({} if context or declaration.history is not None else by_id)
    result = Declared(queries, context, declaration.items or ({} if declaration.statistics else by_id))
    for where, features, columns in (
        ("queries", result.queries, tables.queries.columns),
        ("context", result.context, tables.interactions.columns),
        ("items", result.items, tables.items.columns),
    ):
        _check_columns(where, features, columns)
    _check_clock(tables, result)
    return result


def _check_columns(where: str, features: Iterable[str], columns: list[str]) -> None:
    for name in features:
        if name not in columns:
            raise DataError(f"{where}: no column {name!r}{nearest(name, columns)}; the columns are {', '.join(columns)}")


def _check_clock(tables: Tables, features: Declared) -> None:
    windows = [name for name in tables.declaration.statistics if window_hours(name) is not None]
    if tables.declaration.statistics and "time" not in tables.interactions.columns:
        raise DataError("statistics need a time for each interaction: name its column in data.interactions.time, or leave them out")
    if tables.time_unit == "us":
        return
    if windows:
        raise DataError(f"statistic {windows[0]!r} needs times in seconds or dates; these only order the events: use count")
    timed = [name for name, spec in features.context.items() if spec.kind == "time" and name == "time"]
    if timed:
        raise DataError("context.time is declared as time, but the times of the interactions only order the events and say no hour")


def resolved(queries: Iterable[Encoder], items: Iterable[Encoder], history: bool, scales: Iterable[Scale]) -> Schema:
    """The schema that towers are built from: query, context and history features; item features and statistics."""
    query = [feature for encoder in queries for feature in encoder.features]
    item = [feature for encoder in items for feature in encoder.features]
    item += [Feature(name=scale.feature, kind=Kind.NUMERIC) for scale in scales]
    if history:
        query.append(Feature(name=HISTORY, kind=Kind.HISTORY))
    return Schema(SideSchema(tuple(query)), SideSchema(tuple(item)))
