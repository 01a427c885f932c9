"""A sample of what was asked and answered, in files that roll: vectors, ids, scores and times; no text, no user."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from tt_hydra.contracts import FloatArray
from tt_hydra.errors import DataError
from tt_hydra.monitor.settings import TrafficLimits

FILES = "traffic-*.parquet"
QUERY, ITEM = "query", "item"
"""What a row is about: a query that was answered, an item that was added."""
RESULTS = 10
"""Results of a query that are kept."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A query that was answered, or an item that was added.

    Attributes:
        kind: ``query`` or ``item``.
        time: seconds since 1970.
        version: number of the version that was served.
        vector: ``(dim,)`` of the query or item.
        ids: of the first results.
        scores: of the first results.
        filtered: whether the request allowed only some items, or was not searched as the version says.
        tower: seconds of the request in the query tower, None where it was not needed; so ``search``, ``merge`` and ``total``.
        own_unknown: values of the query that the model does not know.
        own_values: values of it that could have been unknown.
        queries: of the request.
        hits: results that exact search finds, too; None where the query was not searched again.
        wanted: results that there are.
    """

    kind: str = QUERY
    time: float
    version: int
    vector: FloatArray
    ids: Sequence[str] = ()
    scores: Sequence[float] = ()
    filtered: bool = False
    tower: float | None = None
    search: float | None = None
    merge: float | None = None
    total: float | None = None
    own_unknown: float = 0
    own_values: float = 0
    queries: int = 1
    hits: int | None = None
    wanted: int | None = None


SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "kind": pl.String,
    "time": pl.Float64,
    "version": pl.Int64,
    "vector": pl.List(pl.Float32),
    "ids": pl.List(pl.String),
    "scores": pl.List(pl.Float32),
    "filtered": pl.Boolean,
    "tower": pl.Float64,
    "search": pl.Float64,
    "merge": pl.Float64,
    "total": pl.Float64,
    "own_unknown": pl.Float64,
    "own_values": pl.Float64,
    "queries": pl.Int64,
    "hits": pl.Int64,
    "wanted": pl.Int64,
}
"""Columns of a file."""
_OWN = "own_"
OLDER = {name.removeprefix(_OWN): pl.Int64 if name.startswith(_OWN) else kind for name, kind in SCHEMA.items()}
"""Columns of a file that an older version wrote: ``unknown`` and ``values`` are of the whole request."""


class TrafficWriter:
    """Collects rows and writes them as files, the oldest of which give way."""

    def __init__(self, folder: Path, limits: TrafficLimits) -> None:
        self._folder, self._limits = folder, limits
        self._rows: list[Row] = []
        self._lock = Lock()

    def add(self, row: Row) -> None:
        """Takes a row in."""
        if self._limits.files:
            with self._lock:
                self._rows.append(row)

    def due(self, now: float) -> bool:
        """Whether there is enough, or anything old enough, to be written."""
        with self._lock:
            rows, limits = self._rows, self._limits
            return bool(rows) and (len(rows) >= limits.rows or now - rows[0].time > 60 * limits.minutes)

    def write(self) -> Path | None:
        """Writes what was collected: the file; None where there was nothing, or the disk refuses, which is logged and loses the rows."""
        with self._lock:
            rows, self._rows = self._rows, []
        if not rows:
            return None
        begun = datetime.fromtimestamp(rows[0].time, UTC)
        path = self._folder / f"traffic-{begun:%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:6]}.parquet"
        unfinished = path.with_name(f".{path.name}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            frame_of(rows).write_parquet(unfinished)
            unfinished.replace(path)
            self._make_room()
        except (OSError, PolarsError) as error:  # polars has errors of its own for a full disk
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            logger.warning("%d rows of traffic are lost: %s", len(rows), error)
            return None
        return path

    def _make_room(self) -> None:
        room = self._limits.megabytes * 1e6
        for place, path in enumerate(sorted(self._folder.glob(FILES), reverse=True)):
            room -= path.stat().st_size
            if place >= self._limits.files or (room < 0 and place):
                path.unlink(missing_ok=True)


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a table."""
    return pl.DataFrame([{**asdict(row), "vector": np.asarray(row.vector, np.float32).tolist()} for row in rows], schema=SCHEMA)


def read_traffic(folder: Path, since: float = 0.0) -> pl.DataFrame:
    """All rows of a folder that are not older than ``since``, by time; none where there is no file.

    Raises:
        DataError: a file is damaged, or none of ours.
    """
    frames = [pl.DataFrame(schema=SCHEMA)]
    for path in sorted(folder.glob(FILES)):
        try:
            frames.append(_rows(path).filter(pl.col("time") >= since))
        except FileNotFoundError:
            continue  # it gave way meanwhile
        except (PolarsError, OSError) as error:
            raise DataError(f"{path} cannot be read as traffic: {error}. Remove it, or give traffic= another folder") from error
    return pl.concat(frames).sort("time", maintain_order=True)


def _rows(path: Path) -> pl.DataFrame:
    """The rows of a file; where an older version counted whole requests, a query has an equal share of its request's counts."""
    if pl.read_parquet_schema(path).keys() != OLDER.keys():
        return pl.read_parquet(path, schema=SCHEMA)
    older = pl.read_parquet(path, schema=OLDER)
    return older.with_columns((pl.col("unknown", "values") / pl.col("queries")).name.prefix(_OWN)).select(*SCHEMA)


def vectors_of(rows: pl.DataFrame) -> FloatArray:
    """``(rows, dim)`` vectors."""
    if not len(rows):
        return np.empty((0, 0), np.float32)
    return np.stack(rows["vector"].to_list()).astype(np.float32)
