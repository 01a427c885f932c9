"""The examples of each part of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tt_hydra.contracts import FloatArray, IntArray, Ragged


@dataclass(frozen=True, slots=True)
class TrainPart:
    """The training pairs.

    Attributes:
        query_rows: ``(n,)`` query of each pair.
        item_rows: ``(n,)`` its positive item.
        weights: ``(n,)`` float32.
        times: ``(n,)`` when it happened; the source row where the data has no time.
        positions: ``(n,)`` position of its event among all events.
        negatives: item rows that the data names as negatives of each pair, or None.
        labels: ``(n,)`` float32 each, what the data says of the pairs besides that they happened (a rating), NaN where unknown.
        teacher: ``(n,)`` float32, a teacher's score of each pair, NaN where there is none; or None.
        negatives_teacher: float32, a teacher's scores of ``negatives.values``, likewise.
    """

    query_rows: IntArray
    item_rows: IntArray
    weights: FloatArray
    times: IntArray
    positions: IntArray
    negatives: Ragged | None
    labels: Mapping[str, FloatArray] = field(default_factory=dict)
    teacher: FloatArray | None = None
    negatives_teacher: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class EvalPart:
    """The examples of an evaluated part: one for each query or, where events carry their own texts, for each query and text of it.

    An example stands just before its first event of the part. What is told apart by example must go by its number: the query row is
    no key, since a query with several texts is there several times.

    Attributes:
        query_rows: ``(m,)`` query rows, ascending; distinct unless events carry texts.
        relevant: item rows of each example's events in the part, sorted, distinct.
        gains: float32 grade of each relevant item.
        seen: items that the query had before, with whatever text: in training, for test in training and validation; sorted, distinct.
        positions: ``(m,)`` position among all events, ascending.
    """

    query_rows: IntArray
    relevant: Ragged
    gains: Ragged
    seen: Ragged
    positions: IntArray

    def __len__(self) -> int:
        return len(self.positions)
