"""The retriever: query tower, index and ids of one bundle behind one call. No HTTP, no trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from tt_hydra.artifact.bundle import Bundle
from tt_hydra.contracts import BoolArray, Features, FloatArray, IntArray, VectorIndex
from tt_hydra.data.catalogue import Catalogue
from tt_hydra.data.encoders import Text
from tt_hydra.errors import BundleError, DataError
from tt_hydra.serve.query import Hit, Query, Records
from tt_hydra.tower.autocast import autocast
from tt_hydra.tower.two_tower import TwoTower

BATCH = 256
"""Rows that are embedded at once."""

ItemRows = pl.DataFrame | Sequence[Mapping[str, Any]] | Sequence[str]


class Retriever:
    """Answers queries from a bundle.

    Example:
        >>> retriever = Retriever.load("outputs/run/latest/bundle")  # doctest: +SKIP
        >>> retriever.search(text="a film about the sea", k=10)  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle, towers: TwoTower | None, index: VectorIndex, device: str = "cpu") -> None:
        self.bundle, self.index = bundle, index
        self._towers = None if towers is None else towers.to(device)
        self._device = torch.device(device)
        self.records = Records(bundle)

    @classmethod
    def load(cls, folder: Path | str, *, verify: bool = True, allow: Sequence[str] = (), device: str = "cpu") -> Retriever:
        """Opens a bundle for search.

        Args:
            folder: of the bundle.
            verify: compare the checksum of every file first.
            allow: module prefixes of components of one's own that the bundle may use.
            device: where the towers run.

        Raises:
            BundleError: the bundle is incomplete, damaged or put together from several.
        """
        bundle = Bundle.load(folder, verify=verify)
        retriever = cls(bundle, bundle.load_towers(allow), bundle.load_index(), device)
        if retriever.records.has_history:
            _ = retriever._catalogue
        return retriever

    def search(  # noqa: PLR0913
        self,
        text: str | None = None,
        *,
        query_id: str | None = None,
        features: Mapping[str, Any] | None = None,
        history: Sequence[str] | None = None,
        context: Mapping[str, Any] | None = None,
        vector: FloatArray | None = None,
        k: int = 10,
        exclude: Iterable[str] = (),
        exclude_seen: bool = False,
        params: Mapping[str, int] | None = None,
    ) -> list[Hit]:
        """The best items of one query, best first; see `Query` for what can be asked.

        Args:
            text: query text.
            query_id: id of a known query.
            features: features of the query.
            history: ids of earlier items, oldest first.
            context: columns of the event.
            vector: a ready-made query vector.
            k: how many items.
            exclude: ids of items to leave out.
            exclude_seen: leave out all items that the query had before: a known one's, or those of the history given.
            params: search parameters, instead of the bundle's.

        Raises:
            DataError: an unknown id, or an input that this model does not take.
        """
        query = Query(text=text, query_id=query_id, features=features, history=history, context=context, vector=vector)
        return self.search_many([query], k=k, exclude=exclude, exclude_seen=exclude_seen, params=params)[0]

    def search_many(
        self,
        queries: Sequence[Query],
        *,
        k: int = 10,
        exclude: Iterable[str] = (),
        exclude_seen: bool = False,
        params: Mapping[str, int] | None = None,
    ) -> list[list[Hit]]:
        """The best items of each query; see `search`."""
        if k < 1:
            raise DataError(f"k={k}: at least 1 result")
        if not queries:
            return []
        seen = [self.seen(query) if exclude_seen else set() for query in queries]
        fetched = k + max(map(len, seen))
        params = {**self.bundle.manifest.search_params, **(params or {})}
        result = self.index.search(self.embed_queries(queries), fetched, params, self._allowed(exclude))
        return [self._hits(*found, k) for found in zip(result.scores, result.rows, seen, strict=True)]

    def embed_queries(self, queries: Sequence[Query]) -> FloatArray:
        """Vectors of queries, ``(n, dim)`` float32.

        Raises:
            DataError: an unknown id, or an input that this model does not take.
        """
        vectors = np.empty((len(queries), self.bundle.manifest.dim), np.float32)
        encoded = [number for number, query in enumerate(queries) if query.vector is None]
        for number, query in enumerate(queries):
            if query.vector is not None:
                vectors[number] = self._checked(query.vector)
        for start in range(0, len(encoded), BATCH):
            numbers = encoded[start : start + BATCH]
            vectors[numbers] = self._embed([queries[number] for number in numbers])
        return vectors

    def embed_items(self, rows: ItemRows) -> FloatArray:
        """Vectors of items, known or new, ``(n, dim)`` float32. No event is known of them: their statistics are those of a new item.

        Args:
            rows: raw item columns: a frame, one mapping for each item, or texts where the items' only text is all that is given.

        Raises:
            DataError: a column that is neither a feature nor one of the catalogue's.
        """
        towers = self.towers
        frame = self._item_frame(rows)
        vectors = np.empty((len(frame), self.bundle.manifest.dim), np.float32)
        for start in range(0, len(frame), BATCH):
            vectors[start : start + BATCH] = self._run(towers.embed_items, self.item_features(frame[start : start + BATCH]))
        return vectors

    def embed_item_texts(self, rows: ItemRows) -> FloatArray:
        """What histories read of items' texts, ``(n, width)`` float32: rows of `item_text` for items that are not in it."""
        frame, embed, known = self._item_frame(rows), self.towers.item_text_vectors, self.item_text
        parts = [self._run(embed, self.item_features(frame[start : start + BATCH])) for start in range(0, len(frame), BATCH)]
        return np.concatenate([np.empty((0, 0 if known is None else known.shape[1]), np.float32), *parts])

    def query_features(self, queries: Sequence[Query]) -> Features:
        """What the query tower is given: encoded features of queries, none of them a ready-made vector.

        Raises:
            DataError: an unknown id, or an input that this model does not take.
        """
        return self.row_features([self.records.row(query) for query in queries])

    def row_features(self, rows: Sequence[Mapping[str, Any]]) -> Features:
        """The same from raw rows, as ``records.row`` gives them."""
        catalogue = self._catalogue if self.records.has_history else None
        return self.bundle.featurizer.encode_plain(rows, catalogue, self.towers.tokenizers.get("query"))

    def run_queries(self, features: Features) -> FloatArray:
        """Vectors of encoded queries, ``(n, dim)`` float32."""
        return self._run(self.towers.embed_queries, features)

    def item_features(self, rows: ItemRows) -> Features:
        """What the item tower is given: encoded features of items; see `embed_items`.

        Raises:
            DataError: a column that is neither a feature nor one of the catalogue's.
        """
        return self.bundle.featurizer.encode_items(self._item_frame(rows), self.towers.tokenizers.get("item"))

    @property
    def towers(self) -> TwoTower:
        """The towers.

        Raises:
            BundleError: the vectors came ready-made, so there are none.
        """
        if self._towers is None:
            raise BundleError("this bundle was made from ready-made vectors: it has no towers to embed with")
        return self._towers

    @property
    def item_text(self) -> FloatArray | None:
        """``(num_items, width)`` text vectors of the catalogue, where histories read them."""
        text = None if self._towers is None else self._towers.item_text
        return None if text is None else text.float().cpu().numpy()

    def _embed(self, queries: Sequence[Query]) -> FloatArray:
        if self._towers is None:
            found = self.known_vectors(queries)
            for query in queries:
                self.records.row(query)
            return found
        return self.run_queries(self.query_features(queries))

    def known_vectors(self, queries: Sequence[Query]) -> FloatArray:
        """Ready-made vectors of known queries, ``(n, dim)`` float32, whatever else is asked beside their ids.

        Raises:
            DataError: an unknown id, or none.
        """
        for query in queries:
            if query.query_id is None:
                raise DataError("this bundle was made from ready-made vectors and has no query tower: give query_id= or vector=")
        return self.bundle.query_vectors[[self.records.number(str(query.query_id)) for query in queries]]

    def _run(self, embed: Callable[[Features], Tensor], features: Features) -> FloatArray:
        with torch.inference_mode(), autocast(self._device, self.bundle.manifest.precision):
            vectors: FloatArray = embed(features.to(self._device)).float().cpu().numpy()
        return vectors

    def _checked(self, vector: FloatArray) -> FloatArray:
        values = np.asarray(vector, np.float32)
        if values.shape != (self.bundle.manifest.dim,) or not np.isfinite(values).all():
            raise DataError(f"vector= has shape {values.shape}: {self.bundle.manifest.dim} finite numbers are needed")
        return values

    def _item_frame(self, rows: ItemRows) -> pl.DataFrame:
        features = [encoder.name for encoder in self.bundle.featurizer.items]
        frame = rows if isinstance(rows, pl.DataFrame) else pl.from_dicts(map(self._item, rows), infer_schema_length=None, strict=False)
        return frame.drop([name for name in frame.columns if name not in features and name in self.bundle.item_columns])

    def _item(self, row: Mapping[str, Any] | str) -> Mapping[str, Any]:
        if not isinstance(row, str):
            return row
        texts = [encoder.name for encoder in self.bundle.featurizer.items if isinstance(encoder, Text)]
        if len(texts) != 1:
            raise DataError(f"items of this model have the texts {texts}: give one mapping for each item instead of a string")
        return {texts[0]: row}

    @cached_property
    def _catalogue(self) -> Catalogue:
        """The items that histories name; their texts as token ids."""
        catalogue, towers = self.bundle.load_catalogue(), self.towers
        if catalogue.table.text_names and not catalogue.table.tokens:
            return catalogue.tokenized(towers.tokenizers["item"])
        return catalogue

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the bundle's items by row."""
        return self.bundle.item_ids

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each of the bundle's items by id."""
        return {identifier: row for row, identifier in enumerate(self.ids)}

    @cached_property
    def _titles(self) -> pl.Series | None:
        title = self.bundle.manifest.title
        return None if title is None else self.bundle.items(title)[title].cast(pl.String, strict=False).fill_null("")

    def _allowed(self, exclude: Iterable[str]) -> BoolArray | None:
        rows = [self.row_of[str(identifier)] for identifier in exclude if str(identifier) in self.row_of]
        if not rows:
            return None
        allowed = np.ones(len(self.ids), np.bool_)
        allowed[rows] = False
        return allowed

    def seen(self, query: Query) -> set[str]:
        """Ids of all items that a known query had before, or of the history given."""
        if query.history is not None or query.query_id is None:
            return {str(item) for item in query.history or ()}
        return {self.ids[row] for row in self.bundle.taken.row(self.records.number(query.query_id)).tolist()}

    def _hits(self, scores: FloatArray, rows: IntArray, left_out: set[str], k: int) -> list[Hit]:
        found = [(self.ids[row], row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0]
        kept = [hit for hit in found if hit[0] not in left_out][:k]
        titles = self._titles
        return [
            Hit(rank, identifier, score, "" if titles is None else titles[row])
            for rank, (identifier, row, score) in enumerate(kept, start=1)
        ]
