"""A request to a served version, and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tt_hydra.serve.filters import Filter
from tt_hydra.serve.query import Query

ALL = "*"
"""Stands for every column in ``include``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What is asked of a version at once.

    Attributes:
        queries: the questions.
        k: results of each.
        filter: conditions that items must fulfil; None for none.
        exclude: ids to leave out.
        exclude_seen: leave out what a query had before.
        include: columns to show of each item, ``vector`` among them, or ``("*",)`` for all columns.
        params: search parameters instead of the version's.
        exact: compare with every item instead of asking the index.
        encode: what the answer is turned into while others wait, its time counted as ``merge``; None leaves ``Answer.body`` empty.
        asked: ``time.perf_counter()`` when the request came, None for now.
    """

    queries: Sequence[Query]
    k: int = 10
    filter: Filter | None = None
    exclude: Sequence[str] = ()
    exclude_seen: bool = False
    include: Sequence[str] = ()
    params: Mapping[str, int] | None = None
    exact: bool = False
    encode: Callable[[Answer], bytes] | None = None
    asked: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A found item; ``fields`` and ``vector`` only where they were asked for."""

    id: str
    score: float
    fields: Mapping[str, Any] | None = None
    vector: list[float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Who answered: every answer says so.

    Attributes:
        model: fingerprint of the model.
        version: number of the version.
        sequence: the last change of the catalogue that it knows.
    """

    model: str
    version: int
    sequence: int

    @property
    def index(self) -> str:
        """``version.sequence``: two answers of one index come from the same items."""
        return f"{self.version}.{self.sequence}"

    def to_json(self) -> dict[str, Any]:
        """As answers hold it."""
        return {"model": self.model, "index": self.index, "version": self.version}


@dataclass(slots=True)
class Answer:
    """The results of each query, best first.

    Attributes:
        mark: who answered.
        results: found items of each query.
        seconds: time by phase: ``tower``, ``search``, ``merge``, ``total``.
        body: what ``Ask.encode`` made of it.
    """

    mark: Mark
    results: list[list[Found]]
    seconds: dict[str, float] = field(default_factory=dict)
    body: bytes | None = None
