"""Splits: which part each event belongs to. Every rule sees the events sorted by query, time and source row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tt_hydra.contracts import BoolArray, IntArray
from tt_hydra.data.declaration import SplitSpec
from tt_hydra.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2
PAST, VALID_AGAIN, TEST_AGAIN = 3, 4, 5
"""What is only looked back on: events before the training part, and in the others events with an item that the query had before."""
PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}

Parts = npt.NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldOut:
    """How events are drawn: for a random split, and as validation from the training part where the data has none.

    Attributes:
        share: share of the queries with training events.
        last_only: hold out only a query's last training event, so that it keeps a history; otherwise all of them.
        seed: what the draw depends on, together with the number of queries.
        ordered: whether the events have an order; without one, ``last_only`` holds out any one event.
        whole: whether a random split leaves all events of a query in one part.
        only_new: whether an event with an item that the query had before is nothing to ask for: a last event like that is not held out.
    """

    share: float
    last_only: bool
    seed: int
    ordered: bool = True
    whole: bool = False
    only_new: bool = False


def assign(events: pl.DataFrame, offsets: IntArray, spec: SplitSpec, hold_out: HoldOut) -> Parts:
    """The part of each event.

    ``leave_last_out``: a query's last event is test and the one before validation; with two events there is no validation, a single
    one is for training. ``temporal``: by the two moments. ``random``: by shares of the events, or of the queries where these stay whole,
    drawn with the seed. ``given``: by the column ``split``. The last one, and ``temporal`` without ``valid_from``, hold training queries
    out where validation is empty.

    Args:
        events: ``query`` rows and, where the split needs it, ``time`` or ``split``, sorted by query, time and source row.
        offsets: ``(queries + 1,)`` where each query's events begin.
        spec: the rule.
        hold_out: how validation queries are drawn.

    Raises:
        DataError: the rule needs a column that is not there, or a part has an unknown name.
    """
    match spec.kind:
        case "leave_last_out":
            return _leave_last_out(offsets)
        case "random":
            drawn = np.unique(events["query"].to_numpy(), return_inverse=True)[1] if hold_out.whole else np.arange(len(events))
            return _random(int(drawn.max(initial=-1)) + 1, spec, hold_out.seed)[drawn]
        case "temporal":
            parts = _temporal(events, spec)
        case "given":
            parts = _given(events)
    return parts if (parts == VALID).any() or spec.valid_from is not None else _held_out(parts, events, hold_out)


def only_new(parts: Parts, events: pl.DataFrame) -> Parts:
    """The same parts, but for validation and test events with an item that the query had before: nobody asks for them.

    Before is an earlier event and, whatever their times, the events of the parts that stand before: those items are not shown again.

    Args:
        parts: ``(events,)``.
        events: ``query`` and ``item`` rows, sorted by query, time and source row.
    """
    again, found = _again(events), parts.copy()
    queries, items = events["query"].to_numpy().astype(np.int64), events["item"].to_numpy().astype(np.int64)
    pairs = queries * (items.max(initial=0) + 1) + items
    for part, instead, before in ((VALID, VALID_AGAIN, (PAST, TRAIN)), (TEST, TEST_AGAIN, (PAST, TRAIN, VALID))):
        had = again | np.isin(pairs, pairs[np.isin(parts, before)])
        found[had & (parts == part)] = instead
    return found


def _again(events: pl.DataFrame) -> BoolArray:
    """``(events,)`` whether the query had the item in an earlier event."""
    again: BoolArray = ~events.select(pl.struct("query", "item").is_first_distinct()).to_series().to_numpy()
    return again


def _leave_last_out(offsets: IntArray) -> Parts:
    lengths = np.diff(offsets)
    parts = np.full(offsets[-1], TRAIN, np.int8)
    parts[offsets[1:][lengths >= 2] - 1] = TEST
    parts[offsets[1:][lengths >= 3] - 2] = VALID
    return parts


def _random(size: int, spec: SplitSpec, seed: int) -> Parts:
    order = np.random.default_rng(seed).permutation(size)
    valid, test = round(spec.valid * size), round(spec.test * size)
    parts = np.full(size, TRAIN, np.int8)
    parts[order[:valid]] = VALID
    parts[order[valid : valid + test]] = TEST
    return parts


def _temporal(events: pl.DataFrame, spec: SplitSpec) -> Parts:
    if "time" not in events.columns:
        raise DataError(
            "split.kind=temporal needs a time for each interaction: name its column in data.interactions.time, or choose random"
        )
    learn_from, valid_from, test_from = (_moment(name, getattr(spec, name)) for name in ("learn_from", "valid_from", "test_from"))
    if test_from is None:
        raise DataError("split.kind=temporal needs split.test_from: the first moment of the test part")
    if valid_from is not None and valid_from >= test_from:
        raise DataError(f"split.valid_from={valid_from} is not before split.test_from={test_from}: nothing is left to validate on")
    times = events["time"].to_numpy()
    parts = np.where(times >= test_from, TEST, TRAIN).astype(np.int8)
    if valid_from is not None:
        parts[(times >= valid_from) & (times < test_from)] = VALID
    if learn_from is not None:
        if learn_from >= (test_from if valid_from is None else valid_from):
            raise DataError(f"split.learn_from={learn_from} is not before validation and test: nothing is left to learn from")
        parts[times < learn_from] = PAST
    return parts


def _moment(name: str, value: str | int | None) -> int | None:
    if isinstance(value, str):
        raise DataError(f"split.{name}={value!r} is not in the unit of the time column; a source turns dates into numbers while reading")
    return value


def _given(events: pl.DataFrame) -> Parts:
    if "split" not in events.columns:
        raise DataError("split.kind=given needs a column that says train, valid or test: name it in data.interactions.split")
    unknown = events.filter(pl.col("split").is_null() | ~pl.col("split").is_in(list(PARTS)))
    if len(unknown):
        raise DataError(f"the split column says {unknown['split'][0]!r} in {len(unknown)} row(s): allowed are {', '.join(PARTS)}")
    return events["split"].replace_strict(PARTS, return_dtype=pl.Int8).to_numpy().copy()


def _held_out(parts: Parts, events: pl.DataFrame, hold_out: HoldOut) -> Parts:
    queries = events["query"].to_numpy()
    training = np.flatnonzero(parts == TRAIN)
    candidates, counts = np.unique(queries[training], return_counts=True)
    if hold_out.last_only:
        candidates = candidates[counts >= 2]
    share = round(hold_out.share * len(candidates))
    if hold_out.last_only and hold_out.ordered and hold_out.only_new:
        last = training[_ends(queries[training])]
        candidates = np.intersect1d(candidates, queries[last[~_again(events)[last]]])
    wanted = min(max(share, 1 if hold_out.share > 0 else 0), len(candidates) - (0 if hold_out.last_only else 1))
    if wanted <= 0:
        return parts
    generator = np.random.default_rng(hold_out.seed)
    chosen = generator.choice(candidates, size=wanted, replace=False)
    held = training[np.isin(queries[training], chosen)]
    if not hold_out.ordered:
        held = held[np.lexsort((generator.random(len(held)), queries[held]))]
    if hold_out.last_only:
        held = held[_ends(queries[held])]
    parts[held] = VALID
    return parts


def _ends(queries: IntArray) -> BoolArray:
    """Where the last of each query's stands."""
    return np.append(queries[1:] != queries[:-1], True)
