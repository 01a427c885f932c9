"""What can be asked of a bundle, and how an answer looks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.contracts import FloatArray
from tt_hydra.data.encoders import Encoder, Text
from tt_hydra.data.plain import plain
from tt_hydra.data.schema import HISTORY, TEXT
from tt_hydra.errors import DataError

NEAREST_AMONG = 100_000
"""Ids that are looked through for the nearest to an unknown one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question. What a known query's record says is replaced by whatever is given beside its id.

    Attributes:
        text: query text.
        query_id: id of a known query: its last known features and history.
        features: features of the query by column name.
        history: ids of earlier items, oldest first.
        context: columns of the event by name.
        vector: a ready-made query vector ``(dim,)``, instead of all else.
    """

    text: str | None = None
    query_id: str | None = None
    features: Mapping[str, Any] | None = None
    history: Sequence[str] | None = None
    context: Mapping[str, Any] | None = None
    vector: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One found item; ``rank`` counts from 1, a higher ``score`` is better, ``title`` is empty where the items have none."""

    rank: int
    id: str
    score: float
    title: str


class Records:
    """Turns questions into the raw rows that the featurizer takes."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, featurizer = bundle, bundle.featurizer
        has_tower = bundle.manifest.model is not None
        self._queries, self._context = (featurizer.queries, featurizer.context) if has_tower else ((), ())
        self._encoders = {encoder.name: encoder for encoder in (*self._queries, *self._context)}
        self.has_history = has_tower and featurizer.history > 0

    def row(self, query: Query) -> dict[str, Any]:
        """The raw row of one question.

        Raises:
            DataError: the id is unknown, the model takes no such input, or nothing is asked.
        """
        given = [query.text, query.query_id, query.features, query.history, query.context]
        if all(value is None for value in given):
            raise DataError("an empty query: give text=, query_id=, features=, history= or context=")
        row = {} if query.query_id is None else self._bundle.queries.row(self.number(query.query_id), named=True)
        if query.text is not None:
            row[self._text_feature] = query.text
        row |= self._part("features", query.features, self._queries)
        row |= self._part("context", query.context, self._context)
        if query.history is not None:
            if not self.has_history:
                raise DataError(f"this model takes no history; it takes {self._inputs}")
            row[HISTORY] = [str(item) for item in query.history]
        return {name: plain(self._encoders[name], value) if name in self._encoders else value for name, value in row.items()}

    def number(self, query_id: str) -> int:
        """Row of a known query.

        Raises:
            DataError: it is unknown; with the nearest known ids.
        """
        number = self._numbers.get(str(query_id))
        if number is None:
            raise DataError(self._unknown(str(query_id)))
        return number

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {identifier: number for number, identifier in enumerate(self._bundle.queries["id"].to_list())}

    def _unknown(self, query_id: str) -> str:
        known = list(self._numbers)[:NEAREST_AMONG]
        nearest = difflib.get_close_matches(query_id, known, n=3, cutoff=0.5)
        hint = f"the nearest are {', '.join(map(repr, nearest))}" if nearest else f"known ids look like {', '.join(map(repr, known[:3]))}"
        return f"query_id={query_id!r} is not known to this bundle: {hint}. For a new query give {self._inputs}"

    @cached_property
    def _text_feature(self) -> str:
        texts = [encoder.name for encoder in (*self._queries, *self._context) if isinstance(encoder, Text)]
        if TEXT in texts:
            return TEXT
        if len(texts) == 1:
            return texts[0]
        if texts:
            raise DataError(f"this model's queries have several texts, {', '.join(texts)}: give them by name in features= or context=")
        raise DataError(f"this model takes no query text; it takes {self._inputs}")

    def _part(self, name: str, values: Mapping[str, Any] | None, encoders: Sequence[Encoder]) -> dict[str, Any]:
        allowed = [encoder.name for encoder in encoders]
        for key in values or {}:
            if key not in allowed:
                raise DataError(f"{name}={key!r} is not taken by this model; it takes {self._inputs}")
        return dict(values or {})

    @property
    def _inputs(self) -> str:
        """The inputs of the query tower, in words."""
        parts = [f"{name}={{{', '.join(e.name for e in encoders)}}}" for name, encoders in self._sides if encoders]
        return " and ".join([*parts, *(["history=[item ids]"] if self.has_history else [])]) or "vector="

    @property
    def _sides(self) -> tuple[tuple[str, Sequence[Encoder]], ...]:
        return ("features", self._queries), ("context", self._context)
