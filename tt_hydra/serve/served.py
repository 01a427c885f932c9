"""One version as it is served: a query tower, an index that takes changes, the items. A request holds on to one and uses no other."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tt_hydra.artifact.change import Change
from tt_hydra.artifact.registry import Version
from tt_hydra.contracts import FloatArray
from tt_hydra.data.schema import HISTORY
from tt_hydra.errors import DataError
from tt_hydra.index.live import LiveIndex, LiveSnapshot
from tt_hydra.serve.asking import Mark
from tt_hydra.serve.catalogue import ID, VECTOR, Items, typed
from tt_hydra.serve.filters import Masks
from tt_hydra.serve.query import Query
from tt_hydra.serve.retriever import Retriever
from tt_hydra.serve.tower import QueryTower

SOURCES = ("queries.", "query_vectors", "items/", "item_text", "item_tokens", "bridge/")
"""Files of a bundle that the vector of a query depends on, besides the model's."""

SHORTEST, LONGEST = 1e-18, 1e18
"""Lengths of item vectors whose products and quotients are numbers of 32 bits."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """The catalogue of a version at one moment."""

    snapshot: LiveSnapshot
    mark: Mark


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vector of a query, and how many of its values the featurizer does not know."""

    vector: FloatArray
    unknown: int
    values: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What changes brought: vectors of what was added, and ids of items that could not be embedded."""

    vectors: FloatArray
    refused: tuple[str, ...]


class Served:
    """A version that is served.

    Attributes:
        version: number, folder and manifest.
        state: what a request reads once.
        changed: when the oldest change was made that its index does not contain, None without any.
        items: the catalogue.
        masks: filters over it.
        tower: what embeds queries.
        origin: of everything that the vector of a query depends on.
        moving: held while ids move to other rows, so that whoever asks for one item finds it as its mark says.
    """

    def __init__(self, version: Version, retriever: Retriever, tower: QueryTower) -> None:
        self.version, self.retriever, self.tower = version, retriever, tower
        bundle = retriever.bundle
        self.items = Items(retriever)
        self.masks = Masks(self.items)
        self._live = LiveIndex(retriever.index, bundle.item_vectors)
        sources = [name for name in sorted(bundle.manifest.files) if name.startswith(SOURCES)]
        self.origin = json.dumps([self.model, [bundle.manifest.files[name]["sha256"] for name in sources]])
        featurizer = bundle.featurizer
        encoders = (*featurizer.queries, *featurizer.context)
        self._closed = {each.name: frozenset(each.vocabulary) for each in encoders if hasattr(each, "vocabulary")}
        self.moving = threading.Lock()
        self.changed: float | None = None
        self.state = State(self._live.snapshot, self._mark(version.writes_through))

    @property
    def model(self) -> str:
        """Fingerprint of its towers."""
        return self.version.manifest.model_fingerprint

    @property
    def has_towers(self) -> bool:
        """Whether it can embed."""
        return self.version.manifest.model is not None

    def encode(self, queries: Sequence[Query], rows: Sequence[Mapping[str, Any]]) -> list[Encoded]:
        """Vectors of queries whose raw rows are known."""
        vectors = self.tower.embed(queries, rows)
        if not np.isfinite(vectors).all():
            raise DataError("the query tower gives no finite vector for this query: its values are far outside of what it was trained on")
        return [Encoded(vector, *self._unknown(row)) for vector, row in zip(vectors, rows, strict=True)]

    def _unknown(self, row: Mapping[str, Any]) -> tuple[int, int]:
        """How many of the row's values the featurizer does not know, and how many it could not know."""
        unknown = count = 0
        for name, known in self._closed.items():
            value = row.get(name)
            if value is None:
                continue
            values = value if isinstance(value, list) else [value]
            count += len(values)
            unknown += sum(each not in known for each in values)
        for item in row.get(HISTORY) or ():
            count += 1
            unknown += not self.items.in_base(item)
        return unknown, count

    def embed_items(self, rows: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Vectors of items, ``(n, dim)``: by the item tower, or those given where the version has none.

        Raises:
            DataError: a vector is given and the version has towers, or the other way round; or a vector is not of finite numbers.
        """
        given = [row.get(VECTOR) for row in rows]
        if self.has_towers:
            if any(vector is not None for vector in given):
                raise DataError("items are embedded by this version's item tower, so that all vectors are of one model: leave vector out")
            vectors = self.retriever.embed_items(self._frame(rows))
        else:
            vectors = np.array([self._given(vector) for vector in given], np.float32).reshape(len(rows), -1)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if not ((lengths == 0) | ((lengths >= SHORTEST) & (lengths <= LONGEST))).all():
            raise DataError(
                f"an item has no finite vector, or one of a length that 32 bits cannot compare (0 and {SHORTEST:g} to {LONGEST:g} can be): "
                "its values are far outside of what the item tower was trained on"
            )
        return vectors

    def _frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        names = [each.name for each in self.retriever.bundle.featurizer.items]
        types = self.items.types
        return pl.DataFrame([typed(name, [row.get(name) for row in rows], types[name]) for name in names if name in types])

    def _given(self, vector: Any) -> FloatArray:
        dim = self.version.manifest.dim
        if vector is None:
            raise DataError(
                f"version {self.version.number} was made from ready-made vectors and has no item tower: give vector, {dim} numbers"
            )
        values = np.asarray(vector, np.float32)
        if values.shape != (dim,) or not np.isfinite(values).all():
            raise DataError(f"vector has shape {values.shape}: {dim} finite numbers are needed")
        return values

    def apply(self, changes: Sequence[Change]) -> Applied:
        """Makes changes visible to the next request, all of them at once; by one thread at a time."""
        places: dict[str, int | None] = {}
        upserts: dict[str, tuple[Mapping[str, Any], FloatArray | None]] = {}
        for change in changes:
            own = change.vectors if change.model == self.model else None
            for identifier in change.deleted:
                places[identifier] = None
                upserts.pop(identifier, None)
            for number, item in enumerate(change.items):
                identifier = str(item[ID])
                upserts.pop(identifier, None)
                upserts[identifier] = item, None if own is None else own[number]
        refused = self._embed_missing(upserts)
        rows = [self.items.trimmed(item) for item, _ in upserts.values()]
        vectors = np.array([vector for _, vector in upserts.values()], np.float32).reshape(len(rows), self.version.manifest.dim)
        dead = [row for row in map(self.items.current, {**places, **upserts}) if row is not None]
        self.items.add(rows)
        added = self._live.apply(dead, vectors if rows else None)
        with self.moving:
            self.items.move({**places, **dict(zip(upserts, added.tolist(), strict=True))})
            self.state = State(self._live.snapshot, self._mark(changes[-1].seq))
        self.changed = min(change.time for change in changes) if self.changed is None else self.changed
        return Applied(vectors, tuple(refused))

    def _embed_missing(self, upserts: dict[str, tuple[Mapping[str, Any], FloatArray | None]]) -> list[str]:
        """Embeds items whose vectors are of another model; those that this version cannot embed are dropped and named."""
        absent = [identifier for identifier, (_, vector) in upserts.items() if vector is None]
        refused = []
        for part in (absent, *([each] for each in absent)):
            wanted = [each for each in part if each in upserts and upserts[each][1] is None]
            if not wanted:
                continue
            try:
                vectors = self.embed_items([self.items.trimmed(upserts[each][0]) for each in wanted])
            except DataError as error:
                if part is not absent:
                    logger.error("version %d cannot embed item %r, which is left out: %s", self.version.number, wanted[0], error)
                    refused.append(wanted[0])
                    del upserts[wanted[0]]
                continue
            upserts.update({each: (upserts[each][0], vector) for each, vector in zip(wanted, vectors, strict=True)})
        return refused

    def _mark(self, sequence: int) -> Mark:
        return Mark(model=self.model, version=self.version.number, sequence=sequence)
