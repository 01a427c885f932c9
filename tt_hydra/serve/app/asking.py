"""Bodies as what the engine takes, within the limits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tt_hydra.data.plain import LARGEST
from tt_hydra.serve.app.errors import Refused
from tt_hydra.serve.app.models import QueryBody, SearchBody
from tt_hydra.serve.app.reading import at_most
from tt_hydra.serve.app.service import encoded
from tt_hydra.serve.asking import ALL, Ask
from tt_hydra.serve.catalogue import VECTOR
from tt_hydra.serve.query import Query
from tt_hydra.serve.settings import Limits


def queries(bodies: Sequence[QueryBody], limits: Limits, dim: int) -> list[Query]:
    """The questions.

    Raises:
        Refused: there are too many, or one is too large.
    """
    at_most(bodies, limits.queries, "queries")
    return [_query(body, limits, dim, f"queries.{number}") for number, body in enumerate(bodies)]


def _query(body: QueryBody, limits: Limits, dim: int, place: str) -> Query:
    at_most(body.history, limits.history, f"{place}.history")
    _short(body.features, limits, f"{place}.features")
    _short(body.context, limits, f"{place}.context")
    vector = None
    if body.vector is not None:
        if any(value is not None for value in (body.text, body.id, body.features, body.context)):
            raise Refused(422, "a vector stands for itself: leave text, id, features and context out", f"{place}.vector")
        if len(body.vector) != dim:
            raise Refused(422, f"{len(body.vector)} numbers are given, vectors of this model have {dim}", f"{place}.vector")
        if max(map(abs, body.vector)) > LARGEST:
            raise Refused(422, "numbers this large do not fit 32 bits", f"{place}.vector")
        vector = np.array(body.vector, np.float32)
    return Query(
        text=body.text,
        query_id=None if body.id is None else str(body.id),
        features=body.features,
        history=None if body.history is None else [str(item) for item in body.history],
        context=body.context,
        vector=vector,
    )


def items(bodies: Sequence[Mapping[str, Any]], limits: Limits) -> Sequence[Mapping[str, Any]]:
    """Items to embed or to write.

    Raises:
        Refused: there are too many, or one is too large.
    """
    at_most(bodies, limits.items, "items")
    for number, body in enumerate(bodies):
        _short({name: value for name, value in body.items() if name != VECTOR}, limits, f"items.{number}")
    return bodies


def _short(values: Mapping[str, Any] | None, limits: Limits, place: str) -> None:
    for name, value in (values or {}).items():
        if isinstance(value, list):
            at_most(value, limits.values, f"{place}.{name}")


def ask(body: SearchBody, limits: Limits, dim: int) -> Ask:
    """The request of a search, which came just now: what it waits from here on is part of its time.

    Raises:
        Refused: it is too large.
    """
    if body.k > limits.k:
        raise Refused(422, f"k={body.k}: at most {limits.k} results are given", "k")
    at_most(body.exclude, limits.ids, "exclude")
    at_most(() if body.include == ALL else body.include, limits.columns, "include")
    for name, rule in (body.filter or {}).items():
        for value in rule.values() if isinstance(rule, dict) else [rule]:
            if isinstance(value, list):
                at_most(value, limits.values, f"filter.{name}")
    for name, value in (body.params or {}).items():
        if value > limits.param:
            raise Refused(422, f"{name}={value}: at most {limits.param} is taken", f"params.{name}")
    return Ask(
        queries=queries(body.queries, limits, dim),
        k=body.k,
        filter=body.filter or None,
        exclude=[str(each) for each in body.exclude],
        exclude_seen=body.exclude_seen,
        include=(ALL,) if body.include == ALL else tuple(body.include),
        params=body.params or None,
        exact=body.exact,
        encode=encoded,
        asked=time.perf_counter(),
    )
