"""A catalogue that changes: an immutable index, exact search over what was added since, and a mask over what was deleted.

Searches take a snapshot and never wait for writes; a write makes the next snapshot and swaps one reference.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray, FloatArray, Health, IntArray, Metric, SearchResult, VectorIndex
from tt_hydra.errors import IndexSpecError
from tt_hydra.index.faiss_index import FaissIndex
from tt_hydra.index.mask import Seen
from tt_hydra.index.scan import Found, Part, merged, scales_of
from tt_hydra.index.vectors import check_shape, prepared

FEW = 2048
"""Up to so many living rows an index is not walked: comparing with each of them is as quick, and exact."""
SPARE = 1024
"""Rows that are made room for when the first one is added."""


class Base:
    """The immutable index, the raw vectors that it was built on, and what snapshots need to know of them, made once.

    Args:
        index: the index.
        vectors: ``(size, dim)``, possibly memory-mapped.
    """

    def __init__(self, index: VectorIndex, vectors: npt.NDArray[np.generic]) -> None:
        check_shape(vectors, index.dim, "vectors of the index")
        if len(vectors) != index.size:
            raise IndexSpecError(f"{len(vectors)} vectors for an index of {index.size} rows: give the matrix that it was built on")
        self.index, self.vectors = index, vectors.view(np.ndarray)

    @cached_property
    def part(self) -> Part:
        """Its rows, to be compared with one by one."""
        return Part(self.vectors, scales_of(self.vectors, self.index.metric))

    def estimates(self, params: Mapping[str, int] | None) -> bool:
        """Whether scores under these search parameters are estimates instead of the metric itself."""
        return not isinstance(self.index, FaissIndex) or self.index.estimates(params)

    def imbalance(self, alive: BoolArray | None) -> float | None:
        """Of the living rows of its lists; None where it has none."""
        lists = self.index.lists if isinstance(self.index, FaissIndex) else None
        if lists is None:
            return None
        of_row, sizes = lists
        living = (sizes if alive is None else np.bincount(of_row[alive], minlength=len(sizes))).astype(np.float64)
        return float(len(sizes) * (living @ living) / max(1.0, living.sum()) ** 2)


@dataclass(frozen=True)
class LiveSnapshot:
    """A catalogue at one moment; it never changes. Rows are those of the index, then those added, in order.

    Attributes:
        base: the index.
        added: rows beside it.
        alive: ``(size,)`` bool, read only; None where no row is dead.
    """

    base: Base
    added: Part
    alive: BoolArray | None

    @property
    def size(self) -> int:
        """Rows, dead ones included."""
        return self.base.index.size + len(self.added.vectors)

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self.base.index.dim

    @property
    def metric(self) -> Metric:
        """Similarity that scores are."""
        return self.base.index.metric

    @cached_property
    def health(self) -> Health:
        """How much of it is dead, and how much stands beside the index."""
        alive = self.size if self.alive is None else int(np.count_nonzero(self.alive))
        return Health(
            alive=alive,
            base=self.base.index.size,
            delta=len(self.added.vectors),
            dead=self.size - alive,
            imbalance=self.base.imbalance(self._alive_base),
        )

    def search(
        self, queries: FloatArray, k: int, params: Mapping[str, int] | None = None, allowed: BoolArray | None = None
    ) -> SearchResult:
        """The k best living rows of each query: those of the index through the index, the others by comparing with all.

        While nothing was added, scores are those of the index; from then on all are the metric itself, whatever the index estimates.

        Args:
            queries: ``(queries, dim)`` numbers, normalised or not.
            k: how many; lists are as long as rows are left, then -inf and -1.
            params: search parameters of the index, for this call only.
            allowed: ``(size,)`` bool, rows that may be returned; None for all.

        Raises:
            IndexSpecError: an argument has the wrong shape, is not finite or is unknown.
        """
        if self.alive is None and allowed is None and not len(self.added.vectors):
            return self.base.index.search(queries, k, params)
        wanted, (base, added) = self._asked(queries, k), self._masks(allowed)
        found = self._of_index(wanted, k, params, base)
        if len(self.added.vectors):
            found = merged(found, self.added.best(wanted, k, added), k)
        return SearchResult(*found)

    def exact(self, queries: FloatArray, k: int, allowed: BoolArray | None = None) -> SearchResult:
        """The same by comparing with every living row; ties stand by row."""
        wanted, (base, added) = self._asked(queries, k), self._masks(allowed)
        return SearchResult(*merged(self.base.part.best(wanted, k, base), self.added.best(wanted, k, added), k))

    def take(self, rows: IntArray) -> FloatArray:
        """The vectors of some rows as they were given, ``(n, dim)``."""
        vectors = np.empty((len(rows), self.dim), np.float32)
        inside = rows < self.base.index.size
        vectors[inside] = self.base.vectors[rows[inside]]
        vectors[~inside] = self.added.vectors[rows[~inside] - self.added.first]
        return vectors

    @cached_property
    def _alive_base(self) -> BoolArray | None:
        """Read only, so that the index looks at it once."""
        if self.alive is None:
            return None
        alive = self.alive[: self.base.index.size]
        return None if self._living_base == len(alive) else alive

    @cached_property
    def _living_base(self) -> int:
        return self.base.index.size if self.alive is None else int(np.count_nonzero(self.alive[: self.base.index.size]))

    @cached_property
    def _alive_added(self) -> BoolArray | None:
        alive = None if self.alive is None else self.alive[self.base.index.size :]
        return None if alive is None or alive.all() else alive

    def _asked(self, queries: FloatArray, k: int) -> FloatArray:
        check_shape(queries, self.dim, "queries")
        if k < 1:
            raise IndexSpecError(f"k={k}: at least one result must be asked for")
        return prepared(queries, self.metric, "queries")

    def _masks(self, allowed: BoolArray | None) -> tuple[BoolArray | None, BoolArray | None]:
        """Rows of the index that may be returned, and rows beside it; None for all."""
        if allowed is None:
            return self._alive_base, self._alive_added
        if allowed.shape != (self.size,) or allowed.dtype != np.bool_:
            raise IndexSpecError(f"allowed must be {self.size} booleans, one for each row, got shape {allowed.shape} of {allowed.dtype}")
        return self._combined.of(allowed)

    @cached_property
    def _combined(self) -> Seen[tuple[BoolArray, BoolArray]]:
        """Living rows among those that a request allows, for arrays that come again."""
        alive, size = self.alive, self.base.index.size

        def parts(allowed: BoolArray) -> tuple[BoolArray, BoolArray]:
            both = allowed if alive is None else allowed & alive
            if both.flags.writeable and not allowed.flags.writeable:
                both.flags.writeable = False
            return both[:size], both[size:]

        return Seen(parts)

    def _of_index(self, queries: FloatArray, k: int, params: Mapping[str, int] | None, allowed: BoolArray | None) -> Found:
        if allowed is not None:
            left = self._living_base if allowed is self._alive_base else np.count_nonzero(allowed)
            if left <= max(FEW, k):
                return self.base.part.best(queries, k, allowed)
        result = self.base.index.search(queries, k, params, allowed)
        if len(self.added.vectors) and self.base.estimates(params):
            return self.base.part.scores(queries, result.rows), result.rows
        return result.scores, result.rows


class LiveIndex:
    """An index whose catalogue changes; one writer at a time, readers take `snapshot` and never wait.

    Args:
        base: the index.
        vectors: ``(size, dim)`` matrix that it was built on, raw, possibly memory-mapped; never copied.

    Raises:
        IndexSpecError: the vectors are not those of the index.
    """

    def __init__(self, base: VectorIndex, vectors: npt.NDArray[np.generic]) -> None:
        held = Base(base, vectors)
        scales = scales_of(np.empty((0, base.dim), np.float32), base.metric)
        self._snapshot = LiveSnapshot(held, Part(np.empty((0, base.dim), np.float32), scales, base.size), None)
        self._room = np.empty((0, base.dim), np.float32), np.empty(0, np.float32)
        self._lock = threading.Lock()

    @property
    def snapshot(self) -> LiveSnapshot:
        """The catalogue as it is now."""
        return self._snapshot

    def apply(self, delete: Sequence[int] | IntArray = (), add: FloatArray | None = None) -> IntArray:
        """One change, seen whole or not at all.

        Args:
            delete: rows that die, of the index or added; one that is dead already stays so.
            add: ``(added, dim)`` vectors, normalised or not; None for none.

        Returns:
            Rows of the added vectors. A number is never given twice.

        Raises:
            IndexSpecError: a row is unknown, or the vectors are of another width or not finite; then nothing changes.
        """
        vectors = self._checked(add)
        with self._lock:
            now = self._snapshot
            dead = _rows(delete, now.size)
            added = self._extended(now.added, vectors)
            alive = _buried(now.alive, now.size, dead, len(vectors))
            self._snapshot = LiveSnapshot(now.base, added, alive)
        return np.arange(now.size, now.size + len(vectors))

    def _checked(self, add: FloatArray | None) -> FloatArray:
        base = self._snapshot.base.index
        if add is None:
            return np.empty((0, base.dim), np.float32)
        check_shape(add, base.dim, "added vectors")
        return prepared(add, "dot", "added vectors")

    def _extended(self, part: Part, vectors: FloatArray) -> Part:
        """The part with more rows behind it. The room behind what a snapshot sees is written to, never what it sees."""
        if not len(vectors):
            return part
        old, new = len(part.vectors), len(part.vectors) + len(vectors)
        held, scales = self._room
        if new > len(held):
            held = np.empty((max(SPARE, 2 * new), vectors.shape[1]), np.float32)
            scales = np.empty(len(held), np.float32)
            held[:old] = part.vectors
            if part.scales is not None:
                scales[:old] = part.scales
            self._room = held, scales
        held[old:new] = vectors
        more = scales_of(vectors, self._snapshot.metric)
        if more is not None:
            scales[old:new] = more
        return replace(part, vectors=held[:new], scales=None if more is None else scales[:new])


def _rows(delete: Sequence[int] | IntArray, size: int) -> IntArray:
    rows = np.asarray(delete, np.int64).reshape(-1)
    unknown = rows[(rows < 0) | (rows >= size)]
    if len(unknown):
        raise IndexSpecError(f"row {int(unknown[0])} cannot be deleted: the catalogue has the rows 0 .. {size - 1}")
    return rows


def _buried(alive: BoolArray | None, size: int, dead: IntArray, added: int) -> BoolArray | None:
    """Which rows live after a change, read only; None where all do."""
    if alive is None and not len(dead):
        return None
    after = np.ones(size + added, np.bool_)
    if alive is not None:
        after[:size] = alive
    after[dead] = False
    after.flags.writeable = False
    return after
