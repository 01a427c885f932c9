"""The queries or the items: their features, and whether their id is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from tt_hydra.data.guess.column import Column
from tt_hydra.data.guess.features import Feature, Left, feature

WELL_KNOWN = 5.0
"""Events from which a query or an item can be learnt by its id alone."""
RENAME = Left("its name means something else here: rename the column to use it")


@dataclass(frozen=True, slots=True)
class Given:
    """A table as it came.

    Attributes:
        path: as the user wrote it.
        frame: its rows.
    """

    path: str
    frame: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Side:
    """Queries or items.

    Attributes:
        path: of their table; None where there is none.
        id: column of the id; None where it is called as in the interactions, or not known.
        features: what the tower sees.
        left: columns that it does not see.
        rows: size of the table; 0 where there is none.
    """

    path: str | None = None
    id: str | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    left: Mapping[str, Left] = field(default_factory=dict)
    rows: int = 0

    @property
    def has_text(self) -> bool:
        """Whether its tower sees a text."""
        return any(each.kind == "text" for each in self.features.values())

    @property
    def only_text(self) -> bool:
        """Whether its tower sees nothing but texts."""
        return bool(self.features) and all(each.kind == "text" for each in self.features.values())


def side_of(given: Given | None, id_column: str | None, columns: Sequence[Column], totals: bool = False) -> Side:
    """A table's columns without its id.

    Args:
        given: the table; None where there is none.
        id_column: column of the id.
        columns: of the table.
        totals: whether a column that counts events of all times is to be feared, as with items.
    """
    if given is None:
        return Side()
    kinds = {column.name: feature(column, totals) for column in columns if column.name != id_column}
    kinds |= {"id": RENAME} if "id" in kinds else {}
    features = {name: kind for name, kind in kinds.items() if isinstance(kind, Feature)}
    left = {name: kind for name, kind in kinds.items() if isinstance(kind, Left)}
    return Side(given.path, id_column, features, left, given.frame.height)


def without(side: Side, taken: Collection[str]) -> Side:
    """The side without features whose names mean something else."""
    clashing = {name: RENAME for name in side.features if name in taken}
    kept = {name: kind for name, kind in side.features.items() if name not in taken}
    return replace(side, features=kept, left={**side.left, **clashing})


def with_id(side: Side, name: str | None, why: str | None, why_not: str) -> Side:
    """The side with its id among the features, or among what is left out.

    Args:
        side: without its id.
        name: column of the id; None where it is not known.
        why: a reason for it; None where there is none.
        why_not: what there is to say where there is none.
    """
    if name is None:
        return side
    if why is None:
        return replace(side, left={name: Left(f"the id: {why_not}", "categorical"), **side.left})
    return replace(side, features={name: Feature("categorical", f"the id: {why}"), **side.features})


def reason_for_id(events: float, alone: bool) -> str | None:
    """Why an id is a feature: enough events to learn each by itself, or nothing else to know it by."""
    if events >= WELL_KNOWN:
        return f"about {events:.3g} events of each"
    return "there is nothing else to know it by" if alone else None
