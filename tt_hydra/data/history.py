"""Histories: what a query took before, as ranges of one array of events. No example holds a copy of its history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tt_hydra.contracts import BoolArray, IntArray
from tt_hydra.data.encoded import load_array


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events that one part of the data may look back on, query by query, oldest first.

    An example stands at a position of the data set's list of events (sorted by query, time, source row); its history is the query's
    events of this timeline at smaller positions, so neither its own event nor a later one can be in it.

    Attributes:
        items: ``(events,)`` item rows.
        positions: ``(events,)`` position of each in the list of all events, ascending.
        offsets: ``(queries + 1,)`` where each query's events begin.
    """

    items: IntArray
    positions: IntArray
    offsets: IntArray

    @staticmethod
    def build(items: IntArray, visible: BoolArray, offsets: IntArray) -> Timeline:
        """The visible ones of all events.

        Args:
            items: ``(events,)`` item row of every event, sorted by query, time, source row.
            visible: ``(events,)`` which of them may be looked back on.
            offsets: ``(queries + 1,)`` where each query's events begin among all events.
        """
        positions = np.flatnonzero(visible)
        return Timeline(items[positions].astype(np.int32), positions, np.searchsorted(positions, offsets))

    @staticmethod
    def unordered(items: IntArray, visible: BoolArray, offsets: IntArray, seed: int) -> Timeline:
        """The visible ones of events that have no order: each item of a query once, shuffled, so that its newest are any of them.

        Left in the order of the source, what is cut off would depend on how the source numbers its items. ``before`` has no meaning here.

        Args:
            items: ``(events,)`` item row of every event, sorted by query.
            visible: ``(events,)`` which of them may be looked back on.
            offsets: ``(queries + 1,)`` where each query's events begin among all events.
            seed: of the shuffle.
        """
        positions = np.flatnonzero(visible)
        queries = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        _, first = np.unique(queries[positions] * (int(items.max(initial=0)) + 1) + items[positions], return_index=True)
        positions = positions[first]
        shuffled = np.random.default_rng(seed).random(len(positions))
        positions = positions[np.lexsort((shuffled, queries[positions]))]
        return Timeline(items[positions].astype(np.int32), positions, np.searchsorted(queries[positions], np.arange(len(offsets))))

    def save(self, folder: Path) -> None:
        """Writes the arrays into a folder."""
        _save(self, folder)

    @staticmethod
    def load(folder: Path) -> Timeline:
        """Opens a folder that ``save`` wrote, memory-mapped."""
        return Timeline(*(load_array(folder / f"{name}.npy") for name in Timeline.__dataclass_fields__))

    def before(self, queries: IntArray, positions: IntArray, max_length: int) -> tuple[IntArray, IntArray]:
        """First index and length of each history: the newest ``max_length`` events of the query before a position.

        Args:
            queries: ``(n,)`` query rows.
            positions: ``(n,)`` positions among all events; a position after the query's events gives its newest ones.
            max_length: how many at most.
        """
        stops = np.searchsorted(self.positions, positions)
        starts = np.maximum(self.offsets[queries], stops - max_length)
        return starts, np.maximum(0, stops - starts)

    def latest(self, queries: IntArray, max_length: int) -> tuple[IntArray, IntArray]:
        """First index and length of each query's newest ``max_length`` events."""
        stops = self.offsets[queries + 1]
        starts = np.maximum(self.offsets[queries], stops - max_length)
        return starts, stops - starts


@dataclass(frozen=True, slots=True)
class Others:
    """The histories of training examples whose events have no order: the query's training items without the example's own.

    A query's items stand in a row twice, so that all of them but one are a range: it begins behind the first copy of that one and ends
    before the second. Only the target itself is missing from the history; were it left in, a model could learn to find it there.

    Attributes:
        items: ``(2 * pairs,)`` item rows.
        starts: ``(examples,)`` first index of each example's history.
        lengths: ``(examples,)`` length of each example's history.
    """

    items: IntArray
    starts: IntArray
    lengths: IntArray

    @staticmethod
    def build(timeline: Timeline, queries: IntArray, targets: IntArray) -> Others:
        """The histories of the training examples.

        Args:
            timeline: what ``Timeline.unordered`` made of the training events.
            queries: ``(examples,)`` query rows.
            targets: ``(examples,)`` item rows, each among its query's items in the timeline.
        """
        counts, begin = np.diff(timeline.offsets), timeline.offsets[:-1]
        size = int(timeline.items.max(initial=0)) + 1
        keys = np.repeat(np.arange(len(counts)), counts) * size + timeline.items
        order = np.argsort(keys)
        place = order[np.searchsorted(keys, queries * size + targets, sorter=order)]
        within = np.arange(2 * len(keys)) - np.repeat(2 * begin, 2 * counts)
        twice = np.repeat(begin, 2 * counts) + within % np.repeat(counts, 2 * counts)
        return Others(timeline.items[twice], begin[queries] + place + 1, counts[queries] - 1)

    def save(self, folder: Path) -> None:
        """Writes the arrays into a folder."""
        _save(self, folder)

    @staticmethod
    def load(folder: Path) -> Others:
        """Opens a folder that ``save`` wrote, memory-mapped."""
        return Others(*(load_array(folder / f"{name}.npy") for name in Others.__dataclass_fields__))

    def of(self, index: IntArray, max_length: int) -> tuple[IntArray, IntArray]:
        """First index and length of the histories of some examples, ``max_length`` at most."""
        return self.starts[index], np.minimum(self.lengths[index], max_length)


def _save(arrays: Timeline | Others, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in arrays.__dataclass_fields__:
        np.save(folder / f"{name}.npy", getattr(arrays, name))


def flat_histories(items: IntArray, lengths: IntArray, max_length: int) -> tuple[IntArray, IntArray, IntArray]:
    """Histories given as lists of items: the known items in one array, and where each one's newest ``max_length`` begin.

    Args:
        items: ``(total,)`` item rows of all histories one after the other, -1 for an unknown item.
        lengths: ``(n,)`` length of each history, unknown items included.
        max_length: how many at most.

    Returns:
        Known items, first index and length of each history.
    """
    known = items >= 0
    stops = np.concatenate([[0], np.cumsum(known)])[np.cumsum(lengths)]
    starts = np.concatenate([[0], stops[:-1]])
    starts = np.maximum(starts, stops - max_length)
    return items[known], starts, stops - starts
