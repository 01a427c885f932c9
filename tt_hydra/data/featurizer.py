"""The fitted featurizer: raw columns in, encoded features out, for the data set and for queries and items that come later."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from tt_hydra.contracts import Features, IntArray, Padded, Schema, Tokenizer
from tt_hydra.data.catalogue import Catalogue, numeric
from tt_hydra.data.declaration import nearest
from tt_hydra.data.encoded import Column, as_tensor, tokenize
from tt_hydra.data.encoders import ENCODERS, Encoder, Text
from tt_hydra.data.history import flat_histories
from tt_hydra.data.plain import columns_of
from tt_hydra.data.schema import HISTORY, resolved
from tt_hydra.data.statistics import Scale, scaled
from tt_hydra.errors import DataError

Rows = pl.DataFrame | Sequence[Mapping[str, Any]]
"""Raw rows: a frame, or one mapping for each row; a feature that is left out is missing."""


@dataclass(frozen=True, kw_only=True)
class Featurizer:
    """Everything that was fitted on the training part, as plain data.

    Attributes:
        queries: encoders of the queries table.
        context: encoders of the interactions' own columns, which belong to the query side; its text is one of them.
        items: encoders of the items table.
        history: how many items of a query's history are kept, 0 for no history.
        scales: normalisation of the item statistics.
    """

    queries: tuple[Encoder, ...]
    context: tuple[Encoder, ...]
    items: tuple[Encoder, ...]
    history: int = 0
    scales: tuple[Scale, ...] = ()

    @cached_property
    def schema(self) -> Schema:
        """The features of both sides."""
        return resolved((*self.queries, *self.context), self.items, self.history > 0, self.scales)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that was fitted."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The featurizer as JSON; equal featurizers give equal texts."""
        sides = {name: [_plain(encoder) for encoder in getattr(self, name)] for name in ("queries", "context", "items")}
        rest = {"history": self.history, "scales": [dataclasses.asdict(scale) for scale in self.scales]}
        return json.dumps(sides | rest, ensure_ascii=False, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Featurizer:
        """The featurizer that ``to_json`` wrote."""
        plain = json.loads(text)
        sides = {name: tuple(_encoder(each) for each in plain[name]) for name in ("queries", "context", "items")}
        return Featurizer(**sides, history=plain["history"], scales=tuple(Scale(**scale) for scale in plain["scales"]))

    def encode_items(self, rows: Rows, tokenizer: Tokenizer | None = None) -> Features:
        """Features of items that are not in the data set: no event is known of them.

        Args:
            rows: raw item columns by name.
            tokenizer: of the item tower; needed where an item has texts.

        Raises:
            DataError: a column that is no feature, with the nearest name.
        """
        frame = _frame(rows, self.items, ())
        values: dict[str, Any] = _encoded(frame, self.items, tokenizer)
        unseen = scaled(self.scales, np.zeros((len(frame), len(self.scales)), np.float32))
        values |= {scale.feature: numeric(column) for scale, column in zip(self.scales, unseen.T, strict=True)}
        return Features(len(frame), values)

    def encode_queries(self, rows: Rows, catalogue: Catalogue | None = None, tokenizer: Tokenizer | None = None) -> Features:
        """Features of queries that are not in the data set.

        Args:
            rows: raw query and context columns by name, ``text``, and ``history``: a list of item ids, oldest first; ids that the
                catalogue does not hold are left out.
            catalogue: whose items a history names (texts tokenised); needed where queries have a history.
            tokenizer: of the query tower; needed where a query has texts.

        Raises:
            DataError: a column that is no feature, with the nearest name.
        """
        encoders = (*self.queries, *self.context)
        frame = _frame(rows, encoders, (HISTORY,) if self.history else ())
        values: dict[str, Any] = _encoded(frame, encoders, tokenizer)
        if self.history:
            if catalogue is None:
                raise ValueError("queries have a history: its items are looked up in a catalogue")
            values[HISTORY] = catalogue.history(*self._histories(frame[HISTORY], catalogue))
        return Features(len(frame), values)

    def encode_plain(
        self, rows: Sequence[Mapping[str, Any]], catalogue: Catalogue | None = None, tokenizer: Tokenizer | None = None
    ) -> Features:
        """What ``encode_queries`` gives, sooner for a few rows: their values have the form of `plain` already, and no other names.

        Args:
            rows: of queries and their context; ``history`` is a list of ids.
            catalogue: whose items a history names.
            tokenizer: of the query tower.
        """
        values: dict[str, Any] = {}
        for encoder in (*self.queries, *self.context):
            columns = columns_of(encoder, [row.get(encoder.name) for row in rows], tokenizer)
            values |= {name: as_tensor(column) for name, column in columns.items()}
        if self.history:
            assert catalogue is not None
            histories = [catalogue.known_rows(row.get(HISTORY) or ())[-self.history :] for row in rows]
            lengths = np.array([len(history) for history in histories], np.int64)
            flat = np.array([item for history in histories for item in history], np.int64)
            values[HISTORY] = catalogue.history(flat, np.cumsum(lengths) - lengths, lengths)
        return Features(len(rows), values)

    def _histories(self, column: pl.Series, catalogue: Catalogue) -> tuple[IntArray, IntArray, IntArray]:
        if column.dtype != pl.Null and not isinstance(column.dtype, pl.List):
            raise DataError(f"history is a list of item ids, oldest first; got {column[0]!r}")
        lists = column.cast(pl.List(pl.String)).fill_null([])
        ids = lists.explode(empty_as_null=False, keep_nulls=False)
        return flat_histories(catalogue.rows_of(ids.to_list()), lists.list.len().to_numpy(), self.history)


def _plain(encoder: Encoder) -> dict[str, Any]:
    return {"encoder": type(encoder).__name__, **{field.name: getattr(encoder, field.name) for field in dataclasses.fields(encoder)}}


def _encoder(plain: Mapping[str, Any]) -> Encoder:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    return ENCODERS[fields.pop("encoder")](**fields)


def _frame(rows: Rows, encoders: Sequence[Encoder], extra: Sequence[str]) -> pl.DataFrame:
    """The raw rows with one column for each encoder and each extra name, in full."""
    names = [*(encoder.name for encoder in encoders), *extra]
    frame = rows if isinstance(rows, pl.DataFrame) else _from_mappings(rows)
    for name in frame.columns:
        if name not in names and name != "id":
            raise DataError(f"{name!r} is no feature{nearest(name, names)}; the features are {', '.join(names)}")
    absent = [name for name in names if name not in frame.columns]
    return frame.with_columns(pl.lit(None).alias(name) for name in absent).select(names)


def _from_mappings(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pl.Series(name, [row.get(name) for row in rows], strict=False) for name in names}
    return pl.DataFrame(columns) if names else pl.DataFrame({"id": [None] * len(rows)})


def _encoded(frame: pl.DataFrame, encoders: Sequence[Encoder], tokenizer: Tokenizer | None) -> dict[str, Tensor | Padded]:
    columns: dict[str, Column] = {}
    for encoder in encoders:
        columns |= _columns(frame[encoder.name], encoder, tokenizer)
    return {name: as_tensor(column) for name, column in columns.items()}


def _columns(column: pl.Series, encoder: Encoder, tokenizer: Tokenizer | None) -> dict[str, Column]:
    if not isinstance(encoder, Text):
        return encoder.encode(column)
    if tokenizer is None:
        raise ValueError(f"feature {encoder.name!r} is a text: a tokenizer is needed")
    return {encoder.name: tokenize(encoder.texts(column), tokenizer)}
