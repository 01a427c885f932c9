"""Training batches: which examples, and everything about them in one vectorised gather."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tt_hydra.contracts import Batch, BoolArray, FloatArray, IntArray
from tt_hydra.data.dataset import Dataset


def epoch(num_examples: int, batch_size: int, world_size: int, rank: int, seed: int, epoch: int) -> list[IntArray]:
    """One rank's batches of one epoch: example numbers, a function of nothing but the arguments.

    The examples are shuffled and cut into ``ceil(num_examples / batch_size)`` batches whose sizes differ by one at most, so there is no
    tiny last one. Each batch is shared out evenly: every rank gets the same number of rows, and together the ranks have the batch that
    a single process would have, less at most ``world_size - 1`` rows.

    Args:
        num_examples: number of training pairs.
        batch_size: effective batch size, over all ranks.
        world_size: number of ranks.
        rank: this one.
        seed: of the shuffle.
        epoch: number of the epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(num_examples)
    cuts = np.array_split(order, max(1, -(-num_examples // batch_size)))
    shares = [(batch, len(batch) // world_size) for batch in cuts]
    return [batch[rank * share : (rank + 1) * share] for batch, share in shares if share]


def assemble(
    dataset: Dataset, index: IntArray, negatives: IntArray | None, in_batch: bool, log_q: Callable[[IntArray], FloatArray]
) -> Batch:
    """The batch of the named training examples.

    A distinct item is held once. Where statistics make its features depend on time, that is an item at a moment: a positive is taken
    at its example's time, drawn negatives take the times of the batch's examples in turn.

    Args:
        dataset: texts tokenised.
        index: ``(batch,)`` example numbers.
        negatives: catalogue rows that were drawn for the whole batch, or None.
        in_batch: whether the other queries' positives serve as negatives.
        log_q: log probability of drawing each of some catalogue rows.
    """
    train = dataset.train
    queries, positives = train.query_rows[index], train.item_rows[index]
    drawn = np.zeros(0, np.int64) if negatives is None else negatives
    rows = np.concatenate([positives, drawn])
    times = np.resize(train.times[index], len(rows))
    keys, first, inverse = np.unique(dataset.item_keys(rows, times), return_index=True, return_inverse=True)
    item_rows = rows[first]
    known = dataset.known.take(queries)
    pairs = np.stack([np.repeat(np.arange(len(index)), np.diff(known.offsets)), known.values], axis=1)
    return Batch(
        queries=dataset.queries("train", index),
        items=dataset.items(item_rows, times[first]),
        item_rows=torch.from_numpy(item_rows),
        item_keys=torch.from_numpy(keys),
        positive=torch.from_numpy(inverse[: len(index)]),
        known=torch.from_numpy(pairs),
        drawn=torch.from_numpy(_negatives(len(keys), inverse, len(index), in_batch)),
        log_q=torch.from_numpy(log_q(item_rows)),
        weight=torch.from_numpy(train.weights[index]),
    )


def _negatives(size: int, inverse: IntArray, batch: int, in_batch: bool) -> BoolArray:
    drawn = np.zeros(size, np.bool_)
    drawn[inverse if in_batch else inverse[batch:]] = True
    return drawn
