"""Vectors of a whole prepared data set, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tt_hydra.contracts import FloatArray, IntArray, Ragged, Split
from tt_hydra.data.dataset import Dataset
from tt_hydra.tower.autocast import Precision, autocast
from tt_hydra.tower.two_tower import TwoTower

InOrder = Callable[[Sequence[IntArray], Callable[[IntArray], Tensor]], FloatArray]
"""Encodes chunks of positions and puts the vectors in the order of the positions."""


def in_order(chunks: Sequence[IntArray], encode: Callable[[IntArray], Tensor]) -> FloatArray:
    """What ``encode`` gives for the positions of each chunk, ``(positions, width)`` float32, in the order of the positions."""
    vectors = np.concatenate([encode(chunk).float().cpu().numpy() for chunk in chunks])
    ordered = np.empty_like(vectors)
    ordered[np.concatenate(chunks)] = vectors
    return ordered


@contextmanager
def evaluating(towers: TwoTower, precision: Precision) -> Iterator[torch.device]:
    """Dropout off and no gradient; the mode and the random state come back afterwards. Yields the device of the weights.

    Towers that are in evaluation already use no random numbers; the state is left alone, so that a thread may embed beside a training.
    """
    training, device = towers.training, next(towers.parameters()).device
    state = torch.get_rng_state() if training else None
    towers.eval()
    try:
        with torch.inference_mode(), autocast(device, precision):
            yield device
    finally:
        if state is not None:
            towers.train(training)
            torch.set_rng_state(state)


def embed_items(
    towers: TwoTower, dataset: Dataset, batch_size: int, precision: Precision = "32", gathered: InOrder = in_order
) -> FloatArray:
    """Vectors of the whole catalogue, ``(num_items, dim)``, in row order."""
    chunks = batches_by_length(dataset.catalogue.table.tokens, np.arange(dataset.num_items), batch_size)
    with evaluating(towers, precision) as device:
        return gathered(chunks, lambda rows: towers.embed_items(dataset.items(rows).to(device)))


def embed_queries(
    towers: TwoTower,
    dataset: Dataset,
    part: Literal["valid", "test"],
    batch_size: int,
    precision: Precision = "32",
    gathered: InOrder = in_order,
) -> FloatArray:
    """Vectors of an evaluation part's queries, ``(queries, dim)``, in its order."""
    return embed_examples(towers, dataset, part, np.arange(len(dataset.eval_part(part))), batch_size, precision, gathered)


def embed_examples(
    towers: TwoTower,
    dataset: Dataset,
    part: Split,
    examples: IntArray,
    batch_size: int,
    precision: Precision = "32",
    gathered: InOrder = in_order,
) -> FloatArray:
    """Vectors of the queries of some examples, as they stand just before them: ``(examples, dim)``, in their order."""
    rows = (dataset.train if part == "train" else dataset.eval_part(part)).query_rows[examples]
    chunks = batches_by_length(dataset.query_table.tokens, rows, batch_size)
    if not chunks:
        return np.empty((0, towers.dim), dtype=np.float32)
    with evaluating(towers, precision) as device:
        return gathered(chunks, lambda index: towers.embed_queries(dataset.queries(part, examples[index]).to(device)))


def refresh_item_text(
    towers: TwoTower, dataset: Dataset, batch_size: int, precision: Precision = "32", gathered: InOrder = in_order
) -> None:
    """Encodes every item's text into the cache that histories (and a frozen text encoder) read, where it is missing or stale."""
    if not towers.needs_item_text or (towers.item_text is not None and not towers.item_text_changes):
        return
    chunks = batches_by_length(dataset.catalogue.table.tokens, np.arange(dataset.num_items), batch_size)
    with evaluating(towers, precision) as device:
        vectors = gathered(chunks, lambda rows: towers.item_text_vectors(dataset.items(rows).to(device)))
    towers.set_item_text(torch.from_numpy(vectors))


def batches_by_length(tokens: Mapping[str, Ragged], rows: IntArray, batch_size: int) -> list[IntArray]:
    """Positions in ``rows`` cut into batches of like token counts, so that little is padded; in order where there is no text."""
    lengths = np.zeros(len(rows), dtype=np.int64)
    for texts in tokens.values():
        lengths += np.diff(texts.offsets)[rows]
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(rows), batch_size)]
