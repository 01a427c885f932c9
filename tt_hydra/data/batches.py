"""Training batches: which examples, and everything about them in one vectorised gather."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tt_hydra.contracts import Batch, Drawn, FloatArray, IntArray, Origin, OwnNegatives
from tt_hydra.data.dataset import Dataset


def epoch(
    num_examples: int, batch_size: int, world_size: int, rank: int, seed: int, epoch: int, taken: int | None = None
) -> list[IntArray]:
    """One rank's batches of one epoch: example numbers, a function of nothing but the arguments.

    The examples that are taken are shuffled and cut into ``ceil(taken / batch_size)`` batches whose sizes differ by one at most, so there
    is no tiny last one. Together the ranks have the batch that a single process would have, in its order; their shares differ by one row
    at most, and the first rank has the largest. A batch of fewer rows than ranks is left out.

    Args:
        num_examples: number of training pairs.
        batch_size: effective batch size, over all ranks.
        world_size: number of ranks.
        rank: this one.
        seed: of the shuffle.
        epoch: number of the epoch.
        taken: how many of the training pairs the epoch has, others in each epoch; None for all of them.
    """
    order = np.random.default_rng([seed, epoch]).permutation(num_examples)[:taken]
    cuts = np.array_split(order, max(1, -(-len(order) // batch_size)))
    return [np.array_split(batch, world_size)[rank] for batch in cuts if len(batch) >= world_size]


def assemble(
    dataset: Dataset,
    index: IntArray,
    drawn: Drawn,
    in_batch: bool,
    log_presence: Callable[[IntArray], FloatArray],
    whole: IntArray | None = None,
) -> Batch:
    """The batch of the named training examples.

    A distinct item is held once. Where statistics make its features depend on time, that is an item at a moment: a positive and an own
    negative are taken at their example's time, other drawn negatives take the times of all ranks' examples in turn.

    Args:
        dataset: texts tokenised.
        index: ``(batch,)`` example numbers.
        drawn: negatives that were drawn for them.
        in_batch: whether the other queries' positives serve as negatives.
        log_presence: log probability that each of some catalogue rows is a candidate that the queries share.
        whole: example numbers of all ranks; None where ``index`` has them.
    """
    train, size = dataset.train, len(index)
    rows = np.concatenate([train.item_rows[index], drawn.rows])
    own, every = train.times[index], train.times[index if whole is None else whole]
    times = np.concatenate([own, _times_of_drawn(drawn, own, every)])
    keys, first, inverse = np.unique(dataset.item_keys(rows, times), return_index=True, return_inverse=True)
    item_rows = rows[first]
    view = dataset.training_view()
    known = view.known.take(view.questions[index])
    pairs = np.stack([known.owners(), known.values], axis=1)
    return Batch(
        queries=dataset.queries("train", index),
        items=dataset.items(item_rows, times[first]),
        item_rows=torch.from_numpy(item_rows),
        item_keys=torch.from_numpy(keys),
        positive=torch.from_numpy(inverse[:size]),
        known=torch.from_numpy(pairs),
        origin=torch.from_numpy(_origins(len(keys), inverse, drawn, in_batch)),
        log_q=torch.from_numpy(drawn.log_q(item_rows, log_presence(item_rows), in_batch)),
        own=_own(drawn, inverse[:size], inverse[size:], len(keys)),
        weight=torch.from_numpy(train.weights[index]),
        teacher=torch.full((size,), torch.nan) if train.teacher is None else torch.from_numpy(train.teacher[index]),
        labels={name: torch.from_numpy(values[index]) for name, values in train.labels.items()},
    )


def _times_of_drawn(drawn: Drawn, own: IntArray, every: IntArray) -> IntArray:
    """``(drawn,)`` moment at which each drawn item is looked at: its query's, of ``own``; otherwise one of ``every``, in turn."""
    nobody = drawn.owner < 0
    times = own[np.where(nobody, 0, drawn.owner)]
    times[nobody] = every[np.arange(int(nobody.sum())) % len(every)]
    return times


def _origins(size: int, column: IntArray, drawn: Drawn, in_batch: bool) -> IntArray:
    """``(size,)`` every way in which a candidate came into the batch."""
    flags = np.full(len(column), int(Origin.IN_BATCH) if in_batch else 0)
    flags[len(column) - len(drawn.rows) :] = drawn.origin
    origins = np.zeros(size, np.int64)
    np.bitwise_or.at(origins, column, flags)
    return origins


def _own(drawn: Drawn, positive: IntArray, column: IntArray, size: int) -> OwnNegatives:
    """The pairs of a query and a candidate that was drawn for it, each once, with a teacher's score if any.

    Args:
        drawn: negatives that were drawn.
        positive: ``(batch,)`` candidate that is each query's positive.
        column: ``(drawn,)`` candidate of each draw.
        size: number of candidates.
    """
    place = np.flatnonzero(drawn.owner >= 0)
    place = place[column[place] != positive[drawn.owner[place]]]
    pairs, inverse = np.unique(drawn.owner[place] * size + column[place], return_inverse=True)
    teacher = np.full(len(pairs), np.nan, np.float32)
    np.fmax.at(teacher, inverse, drawn.teacher[place])
    return OwnNegatives(*(torch.from_numpy(each) for each in (pairs // size, pairs % size, teacher)))
