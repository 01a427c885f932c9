"""One query in so many, picked to be searched exactly and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tt_hydra.contracts import BoolArray, FloatArray, Observed, SearchResult, Snapshot
from tt_hydra.monitor.recall import Compared, compare
from tt_hydra.monitor.traffic import ITEM, RESULTS, Row


@dataclass(frozen=True, slots=True)
class Sampled:
    """A query that was picked.

    Attributes:
        row: what is kept of it.
        found: its results, ``(1, k)``.
        snapshot: what was searched.
        allowed: rows that were allowed, None for all.
        as_served: whether the version's index and search parameters found them, so that their recall is the version's.
    """

    row: Row
    found: SearchResult
    snapshot: Snapshot
    allowed: BoolArray | None
    as_served: bool

    def compare(self) -> Compared:
        """Searches it exactly."""
        return compare(self.row.vector, self.found, self.snapshot, self.allowed)

    def with_recall(self, compared: Compared) -> Row:
        """What is kept of it once that is done."""
        return replace(self.row, hits=compared.hits, wanted=compared.wanted)


def picked(request: Observed, before: int, every: int, now: float) -> Iterator[Sampled]:
    """The queries of a request whose number, counted over all requests, is a multiple of ``every``.

    Args:
        request: the request.
        before: queries of earlier requests.
        every: one in so many is picked.
        now: the time.
    """
    seconds = request.seconds
    for place in range(-before % every, len(request.vectors), every):
        part = slice(place, place + 1)
        scores = request.result.scores[place][request.result.rows[place] >= 0]
        row = Row(
            time=now,
            version=request.version,
            vector=request.vectors[place],
            ids=list(request.ids[place])[:RESULTS],
            scores=scores[:RESULTS].tolist(),
            filtered=request.allowed is not None or not request.as_served,
            tower=seconds.get("tower"),
            search=seconds.get("search"),
            merge=seconds.get("merge"),
            total=seconds.get("total"),
            own_unknown=request.unknown[place] if request.unknown else 0,
            own_values=request.values[place] if request.values else 0,
            queries=len(request.vectors),
        )
        found = SearchResult(request.result.scores[part], request.result.rows[part])
        yield Sampled(row, found, request.snapshot, request.allowed, as_served=request.as_served)


def added(vectors: FloatArray, version: int, now: float) -> Iterator[Row]:
    """What is kept of items that were added."""
    for vector in vectors:
        yield Row(kind=ITEM, time=now, version=version, vector=vector)
