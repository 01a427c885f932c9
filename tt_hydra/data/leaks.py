"""Looks for leaks in a prepared data set: reads the stored arrays again and compares them with what they may hold.

Whatever wrote them: a history, a statistic, a vocabulary or a normaliser that knows more than the training part, or more than the
past, is refused before any time is spent on training.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tt_hydra.contracts import BoolArray, IntArray, Ragged, Split
from tt_hydra.data.catalogue import AsOf
from tt_hydra.data.dataset import LATEST, TIMELINES, Dataset
from tt_hydra.data.encoded import Column, EncodedTable
from tt_hydra.data.encoders import FIRST_CODE, Bucketed, Encoder, Numeric, Text, Time, moments
from tt_hydra.data.history import Timeline
from tt_hydra.data.neighbors import NEIGHBORS
from tt_hydra.data.splits import PAST, TEST, TEST_AGAIN, TRAIN, VALID, VALID_AGAIN
from tt_hydra.data.statistics import HOURS_PER_DAY, MICROSECONDS_PER_HOUR, EventTimes, fit_scales, raw, window_hours
from tt_hydra.errors import DataError

VISIBLE: dict[str, tuple[int, ...]] = {
    "valid": (PAST, TRAIN),
    "test": (PAST, TRAIN, VALID, VALID_AGAIN),
    LATEST: (PAST, TRAIN, VALID, VALID_AGAIN, TEST, TEST_AGAIN),
}
TURN = (1, 2, 3, 0, 2, 3)
"""Which parts stand before which, by their number."""
EVALUATED: dict[AsOf, int] = {"valid": VALID, "test": TEST}
PARTS: tuple[Split, ...] = ("train", "valid", "test")
SAMPLE = 64
TOLERANCE = 1e-3


def check_leaks(dataset: Dataset) -> None:
    """Checks everything that was fitted or looked up.

    Raises:
        DataError: something knows more than it may.
    """
    _check_order(dataset)
    for name, visible in VISIBLE.items():
        check_timeline = _check_timeline if dataset.ordered else _check_unordered
        check_timeline(dataset, dataset.timeline(name), name, visible)
    for part in PARTS:
        _check_examples(dataset, part)
    if not dataset.ordered:
        _check_others(dataset)
    _check_pairs(dataset)
    _check_said(dataset)
    _check_fitted(dataset)
    _check_neighbors(dataset)
    if dataset.time_dependent_items:
        _check_statistics(dataset)


def _require(holds: bool | np.bool_, leak: str) -> None:
    if not holds:
        raise DataError(f"leak refused: {leak}. The prepared data set was changed or prepared wrongly: delete it and prepare again")


def _check_order(dataset: Dataset) -> None:
    events = dataset.events
    query, time, row = events["query"], events["time"], events["row"]
    same_query = query[1:] == query[:-1]
    later = (time[1:] > time[:-1]) | ((time[1:] == time[:-1]) & (row[1:] > row[:-1]))
    _require(((query[1:] > query[:-1]) | (same_query & later)).all(), "the events of a query are not in the order of their times")
    part = events["part"]
    if dataset.split == "leave_last_out":
        turn = np.array(TURN)[part]
        _require((turn[1:] >= turn[:-1])[same_query].all(), "a query's training event is later than its validation or test event")
    if dataset.split == "temporal" and (part == TEST).any():
        tested = np.isin(part, (TEST, TEST_AGAIN))
        before = time[~tested].max(initial=np.iinfo(np.int64).min)
        _require(before < time[tested].min(), "an event before the test part is as late as the test part")


def _check_timeline(dataset: Dataset, timeline: Timeline, name: str, visible: Iterable[int]) -> None:
    expected = np.flatnonzero(np.isin(dataset.events["part"], list(visible)))
    _require(np.array_equal(timeline.positions, expected), f"the histories of {name!r} hold other events than those they may see")
    _require(np.array_equal(timeline.items, dataset.events["item"][expected]), f"the histories of {name!r} hold items of other events")
    counts = np.bincount(dataset.events["query"][expected], minlength=dataset.num_queries)
    _require(np.array_equal(np.diff(timeline.offsets), counts), f"the histories of {name!r} run into another query's events")


def _check_unordered(dataset: Dataset, timeline: Timeline, name: str, visible: Iterable[int]) -> None:
    events, size = dataset.events, dataset.num_items
    keys = events["query"] * size + events["item"]
    own = np.repeat(np.arange(dataset.num_queries), np.diff(timeline.offsets)) * size + timeline.items.astype(np.int64)
    expected = np.unique(keys[np.isin(events["part"], list(visible))])
    _require(np.array_equal(np.sort(own), expected), f"the histories of {name!r} hold other items than those they may see, or one twice")


def _check_others(dataset: Dataset) -> None:
    """Each training history is all of the query's training items but the target, which stands right before and right behind it."""
    timeline, others, train = dataset.timeline(TIMELINES["train"]), dataset.others, dataset.train
    counts, begin = np.diff(timeline.offsets), timeline.offsets[:-1]
    place = others.starts - 1 - 2 * begin[train.query_rows]
    _require(((place >= 0) & (place < counts[train.query_rows])).all(), "a train history holds another query's events")
    own = timeline.items[begin[train.query_rows] + place]
    _require(np.array_equal(own, train.item_rows), "a train history holds its own target")
    _require(np.array_equal(others.lengths, counts[train.query_rows] - 1), "a train history holds its own target")
    halves = np.repeat(2 * begin, counts) + np.arange(len(timeline.items)) - np.repeat(begin, counts)
    for half in (halves, halves + np.repeat(counts, counts)):
        _require(np.array_equal(others.items[half], timeline.items), "the train histories hold other items than those of the training part")


def _check_examples(dataset: Dataset, part: Split) -> None:
    """No history reaches the event of its example, a later one or another query's."""
    events, timeline = dataset.events, dataset.timeline(TIMELINES[part])
    positions = dataset.train.positions if part == "train" else dataset.eval_part(part).positions
    stored = np.flatnonzero(events["part"] == PARTS.index(part)) if part == "train" else np.unique(_answered(dataset, PARTS.index(part)))
    _require(np.array_equal(positions, stored), f"the {part} examples do not stand at the first events that they are to predict")
    if not dataset.ordered:
        return
    queries = events["query"][positions]
    starts, lengths = timeline.before(queries, positions, max(1, dataset.featurizer.history))
    some = lengths > 0
    newest = timeline.positions[(starts + lengths)[some] - 1]
    oldest = timeline.positions[starts[some]]
    _require((newest < positions[some]).all(), f"a {part} history holds its own target or a later event")
    _require((events["query"][oldest] == queries[some]).all(), f"a {part} history holds another query's events")


def _answered(dataset: Dataset, part: int) -> IntArray:
    """Position of the example of each event of a part: the first event of the same query, with the same text where events have one."""
    own = np.flatnonzero(dataset.events["part"] == part)
    asked = dataset.events["query"][own]
    if dataset.event_texts is not None and len(own):
        texts = dataset.event_texts.gather(own).rank("dense").to_numpy().astype(np.int64)
        asked = asked * (texts.max() + 1) + texts
    _, first, which = np.unique(asked, return_index=True, return_inverse=True)
    return own[first][which]


def _check_pairs(dataset: Dataset) -> None:
    events, size = dataset.events, dataset.num_items
    keys = events["query"] * size + events["item"]
    every = np.arange(dataset.num_queries)
    training = events["part"] == TRAIN
    _require(_same(dataset.known, every, size, keys[training]), "the known positives are not those of the training part")
    popularity = np.bincount(events["item"][training], minlength=size)
    _require(np.allclose(dataset.counts, popularity, rtol=TOLERANCE), "the popularity was not counted on the training part alone")
    for name, part in EVALUATED.items():
        example = dataset.eval_part(name)
        own = _answered(dataset, part) * size + events["item"][events["part"] == part]
        _require(_same(example.relevant, example.positions, size, own), f"the relevant items of {name} are of another part or text")
        rows, first, which = np.unique(example.query_rows, return_index=True, return_inverse=True)
        seen = np.isin(events["part"], VISIBLE[name]) & np.isin(events["query"], rows)
        once = example.seen.take(first)
        _require(_same(once, rows, size, keys[seen]), f"the seen items of {name} are not those before it")
        _require(_equal(once.take(which), example.seen), f"the seen items of {name} differ between texts of one query")


def _check_said(dataset: Dataset) -> None:
    """Labels, scores and given negatives are those of the training pairs, and no negative is a positive of its query in training."""
    train = dataset.train
    scores = [] if train.teacher is None else [train.teacher]
    _require(all(len(values) == len(train) for values in (*train.labels.values(), *scores)), "labels are not of the training pairs alone")
    if train.negatives is None:
        return
    _require(len(train.negatives) == len(train), "the given negatives are not those of the training pairs alone")
    _require(train.negatives_teacher is None or len(train.negatives_teacher) == len(train.negatives.values), "scores of other negatives")
    size = dataset.num_items
    named = np.repeat(train.query_rows, np.diff(train.negatives.offsets)) * size + train.negatives.values.astype(np.int64)
    _require(not np.isin(named, train.query_rows * size + train.item_rows).any(), "a given negative is a positive of its query")


def _same(ragged: Ragged, rows: IntArray, size: int, keys: IntArray) -> bool:
    """Whether the rows hold exactly the pairs, sorted and each once (numpy's own unique is slow on a million keys)."""
    ordered = np.sort(keys)
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return np.array_equal(np.repeat(rows, np.diff(ragged.offsets)) * size + ragged.values.astype(np.int64), distinct)


def _equal(one: Ragged, other: Ragged) -> bool:
    return np.array_equal(one.offsets, other.offsets) and np.array_equal(one.values, other.values)


def _check_fitted(dataset: Dataset) -> None:
    training = np.isin(dataset.events["part"], (PAST, TRAIN))
    items = _marked(dataset.events["item"][training], dataset.num_items)
    queries = _marked(dataset.events["query"][training], dataset.num_queries)
    featurizer = dataset.featurizer
    for where, encoders, table, rows in (
        ("items", featurizer.items, dataset.catalogue.table, items),
        ("queries", featurizer.queries, dataset.query_table, queries),
        ("context", featurizer.context, dataset.context_table, np.append(training, False)),
    ):
        for encoder in encoders:
            _check_encoder(f"{where}.{encoder.name}", encoder, table, rows)


def _marked(rows: IntArray, size: int) -> BoolArray:
    marks = np.zeros(size, np.bool_)
    marks[rows] = True
    return marks


def _check_encoder(name: str, encoder: Encoder, table: EncodedTable, training: BoolArray) -> None:
    if isinstance(encoder, (Text, Time)):
        return
    column = table.columns[encoder.name]
    if not isinstance(encoder, Numeric):
        learnt = np.zeros(encoder.features[0].size, np.bool_)
        learnt[_codes(column, training)] = True
        nothing = isinstance(encoder, Bucketed) and not encoder.edges
        _require(nothing or learnt[FIRST_CODE:].all(), f"the vocabulary of {name} has values that are not in the training part")
        return
    if encoder.normalize == "none" or isinstance(column, Ragged):
        return
    numbers = column[training]
    mean, std = moments(numbers[numbers[:, 1] == 0, 0])
    _require(abs(mean) < TOLERANCE and abs(std - 1) < TOLERANCE, f"{name} was not normalised with the training part alone")


def _codes(column: Column, rows: BoolArray) -> npt.NDArray[np.int32]:
    codes = column.values[np.repeat(rows, np.diff(column.offsets))] if isinstance(column, Ragged) else column[rows]
    return codes.astype(np.int32, copy=False)


def _check_neighbors(dataset: Dataset) -> None:
    """Each neighbour of an item was taken in the training part by a query that took the item there."""
    if not dataset.has_neighbors:
        return
    training = np.isin(dataset.events["part"], (PAST, TRAIN))
    queries, items = dataset.events["query"][training], dataset.events["item"][training]
    for row in np.linspace(0, dataset.num_items - 1, min(SAMPLE, dataset.num_items)).astype(np.int64):
        together = items[np.isin(queries, queries[items == row])]
        beside = dataset.item_ids.gather(np.unique(together[together != row]))
        own = dataset.display[NEIGHBORS][int(row)]
        _require(own.is_in(beside.to_list()).all(), "an item has neighbors that no query of the training part took with it")


def _check_statistics(dataset: Dataset) -> None:
    events, names = dataset.events, [scale.name for scale in dataset.featurizer.scales]
    train = dataset.train
    if len(train):
        some = np.linspace(0, len(train) - 1, min(SAMPLE, len(train))).astype(np.int64)
        found = raw(names, dataset.event_times, train.item_rows[some], train.times[some])
        expected = [
            [_earlier(name, events, *pair) for name in names] for pair in zip(train.item_rows[some], train.times[some], strict=True)
        ]
        _require(np.allclose(found, np.log1p(expected), rtol=TOLERANCE), "a statistic counts events that are not before its example")
        fitted = fit_scales(names, raw(names, dataset.event_times, train.item_rows, train.times))
        pairs = zip(fitted, dataset.featurizer.scales, strict=True)
        close = [np.allclose((mine.mean, mine.std), (its.mean, its.std), rtol=TOLERANCE) for mine, its in pairs]
        _require(all(close), "the statistics were not normalised with the training part alone")
    for part in EVALUATED:
        visible = np.isin(events["part"], VISIBLE[part])
        times = EventTimes.build(events["item"][visible], events["time"][visible])
        moment = np.full(dataset.num_items, dataset.begin[part])
        standing = raw(names, times, np.arange(dataset.num_items), moment)
        _require(np.allclose(dataset.catalogue.standing[part], standing), f"the items' statistics for {part} count events of {part}")


def _earlier(name: str, events: dict[str, IntArray], item: int, time: int) -> float:
    """One statistic before the logarithm, counted event by event."""
    hours = window_hours(name)
    of_item = (events["item"] == item) & (events["time"] < time)
    if hours is None:
        return float(of_item.sum())
    recent = of_item & (events["time"] >= time - hours * MICROSECONDS_PER_HOUR)
    return float(recent.sum() * HOURS_PER_DAY / hours)
