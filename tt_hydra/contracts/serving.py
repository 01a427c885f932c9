"""What serving and what watches it agree on: a catalogue at one moment, and one answered search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tt_hydra.contracts.features import BoolArray, FloatArray
from tt_hydra.contracts.search import SearchResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The state of a catalogue that changes.

    Attributes:
        alive: items that can be found.
        base: rows of the immutable index, dead ones included.
        delta: rows added since it was built, dead ones included.
        dead: rows that are deleted or replaced.
        imbalance: lists of the index: ``nlist * sum(size^2) / (sum size)^2``, 1 where all are of one length; None without lists.
    """

    alive: int
    base: int
    delta: int
    dead: int
    imbalance: float | None = None

    @property
    def dead_share(self) -> float:
        """Dead rows among all rows."""
        return self.dead / max(1, self.base + self.delta)

    @property
    def delta_share(self) -> float:
        """Rows beside the index among all rows."""
        return self.delta / max(1, self.base + self.delta)


class Snapshot(Protocol):
    """A catalogue at one moment: it never changes, whatever is written after it was taken."""

    @property
    def size(self) -> int:
        """Rows, dead ones included; a row keeps its number in every later snapshot."""

    @property
    def health(self) -> Health:
        """How much of it is dead, and how much stands beside the index."""

    def search(
        self, queries: FloatArray, k: int, params: Mapping[str, int] | None = None, allowed: BoolArray | None = None
    ) -> SearchResult:
        """The k best living rows of each query through the index; as many as there are, never fewer.

        Args:
            queries: ``(queries, dim)``.
            k: how many.
            params: search parameters, for this call only.
            allowed: ``(size,)`` bool, rows that may be returned; None for all.
        """

    def exact(self, queries: FloatArray, k: int, allowed: BoolArray | None = None) -> SearchResult:
        """The same by comparing with every living row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """One answered request, as those who watch the service see it.

    Attributes:
        version: number of the version that answered.
        vectors: ``(queries, dim)`` query vectors.
        result: what was found, ``(queries, k)``, before items were left out by request.
        ids: ids returned for each query.
        snapshot: what was searched.
        params: search parameters that were asked for instead of the version's.
        allowed: rows that the request allowed, None for all.
        exact: whether it was compared with every item instead of asking the index.
        seconds: time of each phase: ``tower``, ``search``, ``merge`` (ids, fields, JSON) and ``total``.
        unknown: of each query, how many of its values the featurizer does not know (words of a closed set, items of a history).
        values: of each query, how many of its values could have been unknown; both are empty where nobody counted.
    """

    version: int
    vectors: FloatArray
    result: SearchResult
    ids: Sequence[Sequence[str]]
    snapshot: Snapshot
    params: Mapping[str, int] | None = None
    allowed: BoolArray | None = None
    exact: bool = False
    seconds: Mapping[str, float]
    unknown: Sequence[int] = ()
    values: Sequence[int] = ()

    @property
    def as_served(self) -> bool:
        """Whether it was searched as the version says."""
        return self.params is None and not self.exact


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What a version looked like when it was made: the norm against which drift is measured.

    Attributes:
        queries: ``(n, dim)`` vectors of queries that were not trained on.
        scores: ``(n, 10)`` scores of their results through the index, -inf where there are fewer.
        items: ``(m, dim)`` vectors of a sample of the items.
        unknown_share: share of unknown values among these queries.
    """

    queries: FloatArray
    scores: FloatArray
    items: FloatArray
    unknown_share: float = 0.0


class Observer(Protocol):
    """Watches a service. Its methods return at once and never raise: an answer does not wait for it."""

    def serving(
        self, version: int, created: str, reference: Reference | None, *, trained: str | None = None, changed: float | None = None
    ) -> None:
        """Another version is served from now on.

        Args:
            version: its number.
            created: ISO time of its making.
            reference: what it looked like then.
            trained: ISO time of its model's making, None where that is the same.
            changed: seconds since 1970 of the oldest change that is not in its index, None without any.
        """

    def searched(self, observed: Observed) -> None:
        """A request was answered."""

    def written(self, vectors: FloatArray, health: Health, *, writes: int, items: int) -> None:
        """The catalogue was changed by so many writes of so many items; of these ``vectors (added, dim)`` are there now, possibly none."""

    def state(self) -> Mapping[str, object]:
        """What it has seen, ready for JSON: the answer of ``GET /v1/monitor``."""

    def close(self) -> None:
        """The service ends: what is still to be written is written."""
