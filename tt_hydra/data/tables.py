"""What a source gives: three tables and what their columns mean. The one type between sources and everything after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import polars as pl

from tt_hydra.contracts import FloatArray
from tt_hydra.data.declaration import Declaration

TimeUnit = Literal["us", "step"]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """A source, read and checked.

    Every ``query`` and ``item`` of the interactions is an ``id`` of the queries and of the items; ids are distinct strings. Feature
    columns are typed by their kind: text and categorical String, multi String (see ``FeatureSpec.sep``) or List[String], numeric
    Float64, time Int64 microseconds since 1970 UTC; a missing value is null, also where the source has NaN; a missing text is empty.

    Attributes:
        queries: ``id`` (String) and the feature columns under their declared names.
        items: ``id`` (String), the feature columns, and any other column of the source, kept for display.
        interactions: ``query``, ``item`` (String), in the order of the source's rows, and where the source has them ``time`` (Int64,
            see ``time_unit``), ``weight`` (Float32), ``text`` (String), ``split`` (String: train, valid, test), ``negatives``
            (List[String] of item ids), ``teacher`` (Float32: a teacher's score of the pair), ``negatives_teacher`` (List[Float32], as
            long as ``negatives``), the labels (Float64) and the context columns. A column is absent rather than full of nulls.
        declaration: what the columns mean. An id that is also a feature is there twice, as ``id`` and under its own name.
        counts: what was dropped, deduplicated or missing while reading, for the log; zeros are left out.
        fingerprint: hash of the contents and of the declaration, equal wherever the files lie.
        display: column of ``items`` to print as a result's title, or None.
        vectors: ready-made item vectors ``(items, dim)`` and query vectors ``(queries, dim)`` in the order of the tables, memory-mapped.
        time_unit: ``us``: microseconds since 1970 UTC; ``step``: numbers that only order the events and say no hour.
    """

    queries: pl.DataFrame
    items: pl.DataFrame
    interactions: pl.DataFrame
    declaration: Declaration
    counts: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str
    display: str | None = None
    vectors: tuple[FloatArray, FloatArray] | None = None
    time_unit: TimeUnit = "us"


class Source(Protocol):
    """A data source: a component of the config group ``data``."""

    def read(self) -> Tables:
        """The tables, checked.

        Raises:
            DataError: something is missing, malformed or contradicts its declaration.
        """

    def fingerprint(self) -> str:
        """Hash of the contents of its files and of its other arguments; paths and file times do not enter."""
