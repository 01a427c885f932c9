"""MovieLens-100K (Harper and Konstan, 2015): 100,000 ratings of 1,682 films by 943 people, the default data.

Its licence forbids redistribution, so it is fetched at first use and kept in the cache folder: the files come from the wheel of the
package ``recbole``, or from the official site. Both hold the same ratings in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tt_hydra.data import ml100k
from tt_hydra.data.content import fingerprint, hash_file
from tt_hydra.data.declaration import Declaration, Features, HistorySpec, SplitSpec, check_statistics, coerce, nearest, parse_features
from tt_hydra.data.tables import Tables
from tt_hydra.errors import ConfigError, DataError


def _query_features() -> Features:
    return {"user_id": "categorical", "age": "numeric", "gender": "categorical", "occupation": "categorical"}


def _item_features() -> Features:
    return {"item_id": "categorical", "title": "text", "genres": "multi", "year": "numeric"}


@dataclass(frozen=True, kw_only=True, slots=True)
class MovieLens:
    """MovieLens-100K, split by leaving each person's last film out; ties of time are broken by the row of the ratings file.

    Attributes:
        path: folder with a local copy (``u.data``, ``u.user``, ``u.item``, or RecBole's three files); None fetches it once.
        min_rating: ratings below it are dropped; None takes every rating as a positive, as the literature does.
        query_features: among user_id, age, gender, occupation, zip_code.
        item_features: among item_id, title, genres, year.
        context: ``{timestamp: time}`` adds hour and weekday of the event; None adds nothing.
        history: the person's earlier films as a feature; None for none.
        statistics: item statistics over earlier events, such as ``count`` and ``rate_7d``.
        neighbors: how many of the films that the same people rated are a feature of a film; 0 for none.
    """

    path: str | None = None
    min_rating: float | None = None
    query_features: Features | None = field(default_factory=_query_features)
    item_features: Features | None = field(default_factory=_item_features)
    context: Features | None = None
    history: HistorySpec | None = field(default_factory=HistorySpec)
    statistics: tuple[str, ...] = ()
    neighbors: int = 0

    def __post_init__(self) -> None:
        if self.history is not None:
            object.__setattr__(self, "history", coerce(HistorySpec, self.history, "data.history"))
        object.__setattr__(self, "statistics", check_statistics(self.statistics))
        self.declaration()

    def declaration(self) -> Declaration:
        """What the columns mean.

        Raises:
            ConfigError: a feature that MovieLens does not have.
        """
        declaration = Declaration(
            queries=parse_features(self.query_features, "data.query_features"),
            items=parse_features(self.item_features, "data.item_features"),
            context=parse_features(self.context, "data.context"),
            history=self.history,
            statistics=self.statistics,
            neighbors=self.neighbors,
            split=SplitSpec(kind="leave_last_out"),
            labels=("rating",),
        )
        _check_names("data.query_features", declaration.queries, ml100k.USER_COLUMNS)
        _check_names("data.item_features", declaration.items, ml100k.ITEM_COLUMNS)
        _check_names("data.context", declaration.context, ("timestamp",))
        return declaration

    def fingerprint(self) -> str:
        """Hash of the three files and of the arguments."""
        return fingerprint(self, [(path.name, hash_file(path)) for path in self._files()])

    def read(self) -> Tables:
        """The tables; every rating is an interaction.

        Raises:
            DataError: the files cannot be fetched, or a local copy is not in one of the two layouts.
        """
        files = self._files()
        ratings, users, items = ml100k.read(files)
        kept = ratings if self.min_rating is None else ratings.filter(pl.col("rating") >= self.min_rating)
        interactions = kept.select(
            pl.col("user_id").alias("query"),
            pl.col("item_id").alias("item"),
            (pl.col("timestamp") * 1_000_000).alias("time"),
            "rating",
            *((pl.col("timestamp") * 1_000_000,) if self.context else ()),
        )
        below = len(ratings) - len(kept)
        return Tables(
            queries=users.select(pl.col("user_id").alias("id"), pl.all()),
            items=items.select(pl.col("item_id").alias("id"), pl.all()),
            interactions=interactions,
            declaration=self.declaration(),
            counts={"interactions below min_rating": below} if below else {},
            fingerprint=self.fingerprint(),
            display="title",
        )

    def _files(self) -> tuple[Path, ...]:
        folder = Path(self.path).expanduser() if self.path is not None else ml100k.cached_folder()
        files = ml100k.layout(folder)
        if not files:
            raise DataError(
                f"data.path={self.path}: no MovieLens-100K in this folder; it needs {', '.join(ml100k.OFFICIAL)} (the unpacked "
                f"ml-100k.zip) or {', '.join(ml100k.RECBOLE)}; data.path=null fetches the data"
            )
        return files


def _check_names(where: str, features: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    for name in features:
        if name not in allowed:
            raise ConfigError(f"{where}.{name} is no column of MovieLens-100K: allowed are {', '.join(allowed)}{nearest(name, allowed)}")
