"""What a service answers, with its types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Who answered.

    Attributes:
        model: fingerprint of the model.
        version: number of the version.
        index: ``version.change``: answers of one index come from the same items.
    """

    model: str
    version: int
    index: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Mark:
        """Of the JSON of an answer."""
        return cls(model=answer["model"], version=answer["version"], index=answer["index"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One found item, a higher ``score`` is better; ``fields`` and ``vector`` only where they were asked for."""

    rank: int
    id: str
    score: float
    fields: Mapping[str, Any] = field(default_factory=dict)
    vector: list[float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Results(Sequence[Hit]):
    """The items found for one query, best first."""

    mark: Mark
    hits: tuple[Hit, ...]

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, place: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[place]

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vectors:
    """Vectors in the order in which they were asked for."""

    mark: Mark
    vectors: list[list[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """An item with all its columns."""

    mark: Mark
    fields: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A write that is on the disk and in the next search.

    Attributes:
        count: items that were written or deleted.
        unknown: ids that were to be deleted and that there were not.
        sequence: the last change that the service knows.
    """

    mark: Mark
    count: int
    sequence: int
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of the registry."""

    number: int
    current: bool
    created: str
    items: int
    model: str
    metric: str
    dim: int
    index: Mapping[str, Any]
    measured: Mapping[str, float]
